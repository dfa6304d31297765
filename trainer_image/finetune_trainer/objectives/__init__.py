"""What objectives beside SFT ask for: their rows, their losses, and what they are judged by."""
