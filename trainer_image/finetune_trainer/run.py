"""One rank's way through a job: data, baseline, training, result, the same evaluation again, verdict, report."""

import os
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch

from finetune_trainer import inputs, outputs
from finetune_trainer.acceptance import check_measured, decide
from finetune_trainer.compiled import load_cpu_optimizer
from finetune_trainer.data.load import LoadedData, audit, hold_vocabulary, load_data, write_fault_report
from finetune_trainer.data.token_cache import TokenCache, kept_or_made, open_cache
from finetune_trainer.data.tokenizer import TextTokenizer, read_json
from finetune_trainer.distributed import check_world, device_of, join_ranks, leave_deepspeed
from finetune_trainer.division import Division, divides, innermost
from finetune_trainer.eight_bits import hold_undivided
from finetune_trainer.environment import gather_environment
from finetune_trainer.evaluation import Evaluator
from finetune_trainer.events import EvaluationEvent, PhaseEvent, ResultEvent, WarningEvent
from finetune_trainer.evidence import Evaluation, RunRecord
from finetune_trainer.exit_codes import ExitCode, TrainerError
from finetune_trainer.files import write_atomically
from finetune_trainer.held_out import HeldOut
from finetune_trainer.history import History
from finetune_trainer.interrupts import StopFlag
from finetune_trainer.job_config import (
    BASELINE_FILE,
    COMMAND,
    DATA_REPORT_FILE,
    DEEPSPEED_FILE,
    RESULT_FILE,
    STATE_FOLDER,
    JobConfig,
    load_deepspeed,
)
from finetune_trainer.lineage import hold_base, lineage_of, write_lineage
from finetune_trainer.magnitudes import rounded_away
from finetune_trainer.memory import MemoryMeter, give_back
from finetune_trainer.memory_watch import conclude
from finetune_trainer.modeling import attach_adapter, count_trainable, load_base, load_parent, load_tokenizer
from finetune_trainer.objectives.log_probs import judge, judge_scores
from finetune_trainer.objectives.measure import measure_of
from finetune_trainer.objectives.sequences import laid_out
from finetune_trainer.objectives.verdict import preference_metrics
from finetune_trainer.parent import check_parent
from finetune_trainer.progress import Emit, emit, stay_silent
from finetune_trainer.quantization import check_engine
from finetune_trainer.ranks import Ranks, prove_same_model
from finetune_trainer.training import Watch, layout_of, let_go, packs, train


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


@dataclass(frozen=True, slots=True)
class _Begun:
    """What training begins with."""

    model: Any
    """The same on all ranks."""
    division: Division | None
    """None where each device holds all of the model."""
    lacking: Mapping[str, torch.Tensor]
    """What DoRA's magnitudes begin without."""


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
    load_cpu_optimizer(session.deepspeed)
    hold_undivided(job.training, session.deepspeed)
    state.mkdir(parents=True, exist_ok=True)
    _Road(session).go()


class _Road:
    """The phases in order; each leaves on the disk what a later session needs."""

    def __init__(self, session: Session) -> None:
        self._s = session
        self._job = session.job
        self._began = datetime.now(UTC)
        self._home = device_of(session.job.world)
        self._divides = divides(session.job, session.deepspeed)

    def go(self) -> None:
        tokenizer = TextTokenizer.load(Path(self._job.model.path))
        if self._job.parent is not None and self._job.adapter is not None:
            check_parent(self._job.parent, self._job.method, self._job.objective, self._job.adapter)
        data = self._read_data(tokenizer)
        checksums = self._hold_inputs()
        # an answer that is to be unlearnt is no reference
        asked = [e for e in data.evaluation if e.wanted]
        evaluator = Evaluator(asked, tokenizer.stop_token_ids, tokenizer.pad_token_id, self._s.stop, self._s.ranks)
        saved_tokenizer = load_tokenizer(Path(self._job.model.path))
        decode = _decoder(saved_tokenizer)
        begun = self._load()
        self._s.meter.end("loading")
        # what can't be done is told before the baseline is asked
        packed = packs(self._job, begun.model, data.train, self._s.ranks, self._s.emit)
        with self._as_it_was(begun.model):
            baseline = self._evaluate(evaluator, data, innermost(begun.model), decode, None)
        # before hours of training, not after them
        check_measured(self._job.acceptance, baseline.metrics)
        seconds = self._train(begun, saved_tokenizer, data, baseline, packed=packed)
        del begun
        give_back(self._job.world.accelerator)
        tuned_model = outputs.reload(self._job, outputs.staging_folder(self._job), self._place)
        divided = self._divided(tuned_model)
        tuned = self._evaluate(evaluator, data, innermost(tuned_model), decode, baseline)
        del divided
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
        cache = self._s.ranks.ask_first(lambda: open_cache(self._job.data, Path(self._job.model.path), self._s.state))
        data = self._read_by_first(cache, tokenizer)
        self._s.ranks.ask_first(lambda: write_fault_report(Path(self._job.output) / DATA_REPORT_FILE, data.faults))
        return data

    def _read_by_first(self, cache: TokenCache | None, tokenizer: TextTokenizer) -> LoadedData:
        """The rows: one rank tokenises for all, and the others read what it has kept."""

        def make() -> LoadedData:
            made = load_data(self._job.data, tokenizer, self._s.stop.check)
            audit((*made.train, *made.evaluation), tokenizer)
            hold_vocabulary(
                (*made.train, *made.evaluation), tokenizer, read_json(Path(self._job.model.path) / "config.json")
            )
            return made

        found: LoadedData | None = None
        error: TrainerError | None = None
        if self._s.ranks.first:
            try:
                found = kept_or_made(cache, make, self._tell_of_data)
            except TrainerError as e:
                error = e
        # what is wrong with the rows ends all ranks alike
        fault = self._s.ranks.ask_first(lambda: (error.code, error.message) if error is not None else None)
        if fault is not None:
            raise error or TrainerError(*fault)
        return found if found is not None else kept_or_made(cache, make, self._tell_of_data)

    def _tell_of_data(self, message: str) -> None:
        self._s.emit(PhaseEvent(phase="data", message=message))

    def _hold_inputs(self) -> dict[str, str]:
        """Checksums of all inputs; a resumed run must find the ones it began with."""
        self._phase("loading", "reading the base model")
        return self._s.ranks.ask_first(self._checksums)

    def _checksums(self) -> dict[str, str]:
        now = inputs.checksums(self._job)
        inputs.hold(self._s.state / "inputs.json", now)
        if self._job.parent is not None:
            unknown = hold_base(self._job.parent, self._job, now)
            if unknown is not None:
                self._s.emit(WarningEvent(message=unknown))
        return now

    @property
    def _place(self) -> torch.device:
        """Where weights are whole."""
        return torch.device("cpu") if self._divides else self._home

    def _load(self) -> _Begun:
        self._s.meter.begin()
        # in the arithmetic of the run, or its 4 bits, so that baseline and result are judged alike
        model: Any = self._adapted(load_base(self._job, self._place))
        parent = self._job.parent
        if parent is not None:
            load_parent(model, Path(parent.path), parent.description)
            model.to(self._place)
        self._hold_parameters(model)
        prove_same_model(model, self._s.ranks)
        lacking = rounded_away(model, Path(parent.path) if parent is not None else None)
        return _Begun(model, self._divided(model), lacking)

    def _divided(self, model: Any) -> Division | None:
        """The division of a model that lies in RAM, which may be larger than a device; None where it is on one."""
        if not self._divides:
            return None
        return Division(model, self._s.deepspeed, self._home, self._s.stop, self._s.ranks)

    def _as_it_was(self, model: Any) -> AbstractContextManager[None]:
        """The model that the result has to be better than: the base model, or with the adapter that it goes on from."""
        if self._job.adapter is None or self._job.parent is not None:
            return nullcontext()
        without: AbstractContextManager[None] = model.disable_adapter()
        return without

    def _evaluate(
        self, evaluator: Evaluator, data: LoadedData, model: Any, decode: Any, before: Evaluation | None
    ) -> Evaluation:
        """Of the base model, or of the result against what was there before."""
        subject: Literal["baseline", "tuned"] = "baseline" if before is None else "tuned"
        kept = self._s.state / (BASELINE_FILE if before is None else f"{subject}.json")
        known = self._s.ranks.ask_first(lambda: _known(kept) if subject == "baseline" else None)
        if known is not None:
            found = known
        else:
            self._phase(subject, "evaluating held-out rows")
            self._s.meter.begin()
            if self._job.objective == "Reward":
                found = self._score(subject, data, model)
            else:
                found = self._answer(subject, evaluator, data, model, decode, before)
            self._s.meter.end(subject)
            self._s.ranks.ask_first(lambda: write_atomically(kept, found.model_dump_json(indent=2) + "\n"))
        self._s.emit(
            EvaluationEvent(subject=subject, rows=len(found.judged) or len(found.answers), metrics=found.metrics)
        )
        return found

    def _answer(
        self,
        subject: Literal["baseline", "tuned"],
        evaluator: Evaluator,
        data: LoadedData,
        model: Any,
        decode: Any,
        before: Evaluation | None,
    ) -> Evaluation:
        contract = self._job.data.contract.answer_json
        found = evaluator.evaluate(model, decode, subject, contract, lambda done, of: self._tick(subject, done, of))
        return found if self._job.objective == "SFT" else self._judge(found, data, model, before)

    def _score(self, subject: Literal["baseline", "tuned"], data: LoadedData, model: Any) -> Evaluation:
        """Of a reward model, which writes nothing: how it scores pairs."""
        began = time.monotonic()
        rows = judge_scores(
            model,
            laid_out(data.evaluation, self._job.objective, self._job.data.max_length),
            self._s.stop,
            self._s.ranks,
            lambda done, of: self._tick(subject, done, of),
        )
        metrics = preference_metrics(self._job.objective, rows, rows)
        return Evaluation(subject=subject, metrics=metrics, answers=(), judged=rows, seconds=time.monotonic() - began)

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

    def _train(self, begun: _Begun, tokenizer: Any, data: LoadedData, baseline: Evaluation, *, packed: bool) -> float:
        """Train and stage the result; seconds of training in this session."""
        self._phase("training", "training")
        self._s.meter.begin()
        scored = self._job.objective == "Reward"
        pad = begun.model.config.get_text_config().pad_token_id if scored else tokenizer.pad_token_id
        measure = measure_of(self._job, data.evaluation, int(pad), baseline.judged)
        held_out = HeldOut(self._job, measure, self._s.history, self._s.ranks, self._s.emit)
        watch = Watch(self._job, layout_of(self._job, self._s.deepspeed), held_out, self._s.meter, self._s.stop)
        model, division = begun.model, begun.division
        trainer = train(
            self._job, self._s.deepspeed, model, tokenizer, data.train, watch, packed=packed, division=division
        )
        seconds = watch.seconds
        # asked to stop: the checkpoint is there
        self._phase("saving", "writing the result")
        self._s.meter.begin()
        outputs.stage(self._job, trainer, tokenizer, begun.lacking, self._s.ranks)
        self._s.meter.end("saving")
        leave_deepspeed()
        let_go(trainer)
        return seconds

    def _adapted(self, model: Any) -> Any:
        """The model with a fresh adapter, where one is trained."""
        if self._job.adapter is None:
            return model
        dora, scored = self._job.method == "DoRA", self._job.objective == "Reward"
        return attach_adapter(model, self._job.adapter, self._job.training.seed, magnitudes=dora, scored=scored)

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
        # draws charts, with a library that takes a second to import: training doesn't wait for it
        from finetune_trainer.report import write_report

        rule = self._job.acceptance
        rows = tuned.rows_behind(rule.metric, len(data.evaluation))
        verdict = decide(rule, baseline.metrics, tuned.metrics, rows)
        output = Path(self._job.output)
        lineage = lineage_of(self._job, checksums)
        write_lineage(lineage, outputs.staging_folder(self._job))
        files = outputs.publish(self._job, outputs.staging_folder(self._job))
        for rendered in sorted(self._s.folder.glob("finetune_config.*")):
            write_atomically(output / rendered.name, rendered.read_text(encoding="utf-8"))
        record = RunRecord(
            job=self._job,
            lineage=lineage,
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
