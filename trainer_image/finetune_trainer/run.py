"""One rank's way through a job: data, baseline, training, result, the same evaluation again, verdict, report."""

import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from finetune_trainer import inputs, outputs
from finetune_trainer.acceptance import check_measured, decide
from finetune_trainer.data.load import LoadedData, audit, load_data, write_fault_report
from finetune_trainer.data.tokenizer import TextTokenizer
from finetune_trainer.distributed import check_world, device_of, join_ranks, leave_deepspeed
from finetune_trainer.environment import gather_environment
from finetune_trainer.evaluation import Evaluator
from finetune_trainer.events import EvaluationEvent, PhaseEvent, ResultEvent
from finetune_trainer.evidence import Evaluation, RunRecord
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.files import write_atomically
from finetune_trainer.held_out import HeldOut
from finetune_trainer.history import History
from finetune_trainer.interrupts import StopFlag
from finetune_trainer.job_config import (
    COMMAND,
    DATA_REPORT_FILE,
    DEEPSPEED_FILE,
    RESULT_FILE,
    STATE_FOLDER,
    JobConfig,
    load_deepspeed,
)
from finetune_trainer.magnitudes import rounded_away
from finetune_trainer.memory import MemoryMeter, give_back
from finetune_trainer.memory_watch import conclude
from finetune_trainer.modeling import attach_adapter, count_trainable, load_base, load_tokenizer
from finetune_trainer.objectives.log_probs import judge
from finetune_trainer.objectives.sequences import laid_out
from finetune_trainer.objectives.verdict import preference_metrics
from finetune_trainer.progress import Emit, emit, stay_silent
from finetune_trainer.quantization import check_engine
from finetune_trainer.ranks import Ranks, prove_same_model
from finetune_trainer.report import write_report
from finetune_trainer.training import Watch, let_go, train


@dataclass(slots=True, kw_only=True)
class Session:
    """What one process of a run holds on to."""

    job: JobConfig
    folder: Path
    """Of job.json and what was rendered with it."""
    state: Path
    stop: StopFlag
    meter: MemoryMeter
    history: History
    ranks: Ranks
    emit: Emit
    deepspeed: dict[str, Any]
    """DeepSpeed's configuration as it was rendered."""


def run(job: JobConfig, path: Path, stop: StopFlag) -> None:
    """Run the job, or go on with it.

    Raises:
        TrainerError: with the code and the sentence that the process ends with.
    """
    check_world(job.world, job.training.precision)
    # before anything that one rank does for all: whoever waits then learns at once that it failed
    ranks = join_ranks(job.world)
    state = Path(job.output) / STATE_FOLDER
    session = Session(
        job=job,
        folder=path.parent,
        state=state,
        stop=stop,
        meter=MemoryMeter(job.world.accelerator),
        history=History(state / "history.jsonl"),
        ranks=ranks,
        emit=emit if ranks.first else stay_silent,
        deepspeed=load_deepspeed(path.parent / DEEPSPEED_FILE),
    )
    if job.quantization is not None:
        check_engine(job.quantization, job.training.precision, session.deepspeed)
    state.mkdir(parents=True, exist_ok=True)
    _Road(session).go()


class _Road:
    """The phases in order; each leaves on the disk what a later session needs."""

    def __init__(self, session: Session) -> None:
        self._s = session
        self._job = session.job
        self._began = datetime.now(UTC)
        self._home = device_of(session.job.world, session.deepspeed)

    def go(self) -> None:
        tokenizer = TextTokenizer.load(Path(self._job.model.path))
        data = self._read_data(tokenizer)
        checksums = self._hold_inputs()
        # an answer that is to be unlearnt is no reference
        asked = [e for e in data.evaluation if e.wanted]
        evaluator = Evaluator(asked, tokenizer.stop_token_ids, tokenizer.pad_token_id, self._s.stop, self._s.ranks)
        saved_tokenizer = load_tokenizer(Path(self._job.model.path))
        decode = _decoder(saved_tokenizer)
        model = self._load_base()
        baseline = self._evaluate(evaluator, data, model, decode, None)
        # before hours of training, not after them
        check_measured(self._job.acceptance, baseline.metrics)
        seconds = self._train(model, saved_tokenizer, data)
        del model
        give_back(self._job.world.accelerator)
        tuned_model = outputs.reload(self._job, outputs.staging_folder(self._job), self._home)
        tuned = self._evaluate(evaluator, data, tuned_model, decode, baseline)
        if self._s.ranks.first:
            self._finish(data, baseline, tuned, checksums, seconds)

    def _phase(
        self, phase: Literal["loading", "data", "baseline", "training", "tuned", "saving"], message: str
    ) -> None:
        self._stop_if_asked()
        self._s.emit(PhaseEvent(phase=phase, message=message))

    def _stop_if_asked(self) -> None:
        self._s.stop.requested = self._s.ranks.any(self._s.stop.requested)
        self._s.stop.check()

    def _read_data(self, tokenizer: TextTokenizer) -> LoadedData:
        self._phase("data", "reading and checking rows")
        data = load_data(self._job.data, tokenizer)
        audit((*data.train, *data.evaluation), tokenizer)
        self._s.ranks.ask_first(lambda: write_fault_report(Path(self._job.output) / DATA_REPORT_FILE, data.faults))
        return data

    def _hold_inputs(self) -> dict[str, str]:
        """Checksums of all inputs; a resumed run must find the ones it began with."""
        self._phase("loading", "reading the base model")
        return self._s.ranks.ask_first(self._checksums)

    def _checksums(self) -> dict[str, str]:
        now = inputs.checksums(self._job)
        inputs.hold(self._s.state / "inputs.json", now)
        return now

    def _load_base(self) -> Any:
        self._s.meter.begin()
        # in the arithmetic of the run, or its 4 bits, so that baseline and result are judged alike
        model = load_base(self._job, self._home)
        self._s.meter.end("loading")
        return model

    def _evaluate(
        self, evaluator: Evaluator, data: LoadedData, model: Any, decode: Any, before: Evaluation | None
    ) -> Evaluation:
        """Of the base model, or of the result against what was there before."""
        subject: Literal["baseline", "tuned"] = "baseline" if before is None else "tuned"
        kept = self._s.state / f"{subject}.json"
        known = self._s.ranks.ask_first(lambda: _known(kept) if subject == "baseline" else None)
        if known is not None:
            found = known
        else:
            self._phase(subject, "evaluating held-out rows")
            self._s.meter.begin()
            contract = self._job.data.contract.answer_json
            found = evaluator.evaluate(model, decode, subject, contract, lambda done, of: self._tick(subject, done, of))
            if self._job.preference is not None:
                found = self._judge(found, data, model, before)
            self._s.meter.end(subject)
            self._s.ranks.ask_first(lambda: write_atomically(kept, found.model_dump_json(indent=2) + "\n"))
        self._s.emit(
            EvaluationEvent(subject=subject, rows=len(found.judged) or len(found.answers), metrics=found.metrics)
        )
        return found

    def _judge(self, found: Evaluation, data: LoadedData, model: Any, before: Evaluation | None) -> Evaluation:
        """The evaluation with what the model makes of judged answers."""
        rows = judge(
            model,
            laid_out(data.evaluation, self._job.objective, self._job.data.max_length),
            self._s.stop,
            self._s.ranks,
            lambda done, of: self._tick(found.subject, done, of),
        )
        metrics = preference_metrics(self._job.objective, rows, before.judged if before is not None else rows)
        return found.model_copy(update={"judged": rows, "metrics": found.metrics | metrics})

    def _tick(self, subject: Literal["baseline", "tuned"], done: int, total: int) -> None:
        self._s.emit(PhaseEvent(phase=subject, message="evaluating held-out rows", done=done, total=total))

    def _train(self, model: Any, tokenizer: Any, data: LoadedData) -> float:
        """Train and stage the result; seconds of training in this session."""
        self._phase("training", "training")
        if self._job.adapter is not None:
            dora = self._job.method == "DoRA"
            model = attach_adapter(model, self._job.adapter, self._job.training.seed, magnitudes=dora)
        self._hold_parameters(model)
        prove_same_model(model, self._s.ranks)
        lacking = rounded_away(model)
        self._s.meter.begin()
        held_out = HeldOut(
            self._job, data.evaluation, int(tokenizer.pad_token_id), self._s.history, self._s.ranks, self._s.emit
        )
        watch = Watch(self._job, held_out, self._s.meter, self._s.stop)
        trainer = train(self._job, self._s.deepspeed, model, tokenizer, data.train, watch)
        seconds = watch.seconds
        # asked to stop: the checkpoint is there
        self._phase("saving", "writing the result")
        self._s.meter.begin()
        outputs.stage(self._job, trainer, tokenizer, lacking, self._s.ranks)
        self._s.meter.end("saving")
        leave_deepspeed()
        let_go(trainer)
        return seconds

    def _hold_parameters(self, model: Any) -> None:
        trainable = count_trainable(model)
        planned = self._job.prediction.trainable_parameters
        if trainable != planned:
            raise TrainerError(
                ExitCode.CONFIGURATION,
                f"the plan is for {planned} trainable parameters, the model has {trainable}; plan again, and "
                "write another output.path",
            )

    def _finish(
        self, data: LoadedData, baseline: Evaluation, tuned: Evaluation, checksums: dict[str, str], seconds: float
    ) -> None:
        rule = self._job.acceptance
        rows = tuned.rows_behind(rule.metric, len(data.evaluation))
        verdict = decide(rule, baseline.metrics, tuned.metrics, rows)
        output = Path(self._job.output)
        files = outputs.publish(self._job, outputs.staging_folder(self._job))
        for rendered in sorted(self._s.folder.glob("finetune_config.*")):
            write_atomically(output / rendered.name, rendered.read_text(encoding="utf-8"))
        record = RunRecord(
            job=self._job,
            deepspeed=self._s.deepspeed,
            train=data.train_facts,
            evaluation=data.evaluation_facts,
            history=self._s.history.steps(),
            held_out=self._s.history.held_out(),
            resumed_from=self._s.history.resumptions(),
            baseline=baseline,
            tuned=tuned,
            verdict=verdict,
            environment=gather_environment(_command(), self._job.training.seed, checksums),
            memory=conclude(self._job, self._s.meter, self._s.emit),
            started_at=self._began.isoformat(timespec="seconds"),
            training_seconds=seconds,
            output_files=files,
            digest=outputs.digest_of(output),
        )
        report = write_report(record, output)
        result = _result(record, report)
        write_atomically(self._s.state / RESULT_FILE, result.model_dump_json(indent=2) + "\n")
        self._s.emit(result)


def _known(kept: Path) -> Evaluation | None:
    return Evaluation.model_validate_json(kept.read_bytes()) if kept.exists() else None


def _result(record: RunRecord, report: Path) -> ResultEvent:
    return ResultEvent(
        decision=record.verdict.decision,
        because=record.verdict.because,
        next_step=record.verdict.next_step,
        rows=record.tuned.rows_behind(record.job.acceptance.metric, record.evaluation.rows),
        baseline=record.baseline.metrics,
        tuned=record.tuned.metrics,
        memory_predicted=record.memory.total_predicted,
        memory_measured=record.memory.measured,
        output=record.job.output,
        output_bytes=sum(record.output_files.values()),
        digest=record.digest,
        report=str(report),
    )


def _command() -> str:
    return os.environ.get(COMMAND) or " ".join([sys.executable, "-m", "finetune_trainer.launch", *sys.argv[1:]])


def _decoder(tokenizer: Any) -> Any:
    def decode(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, skip_special_tokens=True))

    return decode
