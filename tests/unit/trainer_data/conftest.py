"""Tokenizers that are made once."""

from pathlib import Path

import pytest

from finetune_trainer.data.tokenizer import TextTokenizer
from tests.unit.trainer_data.builders import write_tokenizer


@pytest.fixture(scope="session")
def chatml_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a tokenizer and the ChatML template."""
    return write_tokenizer(tmp_path_factory.mktemp("chatml"))


@pytest.fixture(scope="session")
def chatml(chatml_folder: Path) -> TextTokenizer:
    """A tokenizer with the ChatML template."""
    return TextTokenizer.load(chatml_folder)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    """A tokenizer without a template, whose post-processor puts <s> before a text and whose texts end with </s>."""
    folder = tmp_path_factory.mktemp("plain")
    return TextTokenizer.load(write_tokenizer(folder, template=None, config={"eos_token": "</s>"}, start="<s>"))
