"""The host's side of a run: compile once, then an epoch at a time with metrics and checkpoints on disk."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl import environments
from purejaxrl.environments import host, pools
from purejaxrl.training import processes, provenance, trackers
from purejaxrl.training import seeds as seeds_
from purejaxrl.training.checkpoints import Checkpoints, forget_simulators
from purejaxrl.training.experiment import Experiment, Programs, programs
from purejaxrl.training.loop import quantities
from purejaxrl.training.record import (
    Record,
    StorageError,
    check_same,
    describe,
    read_json,
    read_metrics,
    rows_of,
)
from purejaxrl.training.reports import Ended, Keeping, Offence, Progress, Result, mean_return
from purejaxrl.types import InvalidInput, Metrics, PyTree


def run(
    experiment: Experiment[Any],
    output: Path | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    *,
    keeping: Keeping | None = None,
    resume: bool = False,
) -> Result:
    """Runs an experiment epoch by epoch and records it; gives the bits that ``train`` gives.

    An interrupt (Ctrl-C) ends the run after its last whole epoch, whose metrics are on disk.

    Args:
        experiment: what to run.
        output: the folder to make; None takes the next free one under ``runs/``.
        report: called at the start of every stage, several times a second while the device is busy
            and after every epoch.
        keeping: what to leave behind, and when to stop; None is Keeping().
        resume: whether to go on with the run in ``output`` where there is one, from its last
            checkpoint; a run that goes on ends with the bits of one that was never stopped. It may
            be made longer: ``total_steps`` and ``num_epochs`` may have grown together.

    Raises:
        InvalidInput: the experiment or the folder cannot work, or the folder holds another run;
            nothing has been compiled.
        StorageError: the folder can no longer be written to; it can be gone on with once it can.
    """
    session = Session(experiment, output, report, keeping or Keeping(), resume)
    try:
        result = session.run()
    except BaseException:
        with contextlib.suppress(Exception):  # a full disk is told of once, and what was full first
            session.close()
        raise
    session.close()
    return result


class Session:
    """One process's part of a run, from its start or resumption to its end."""

    def __init__(
        self,
        experiment: Experiment[Any],
        output: Path | None,
        report: Callable[[Progress], None],
        keeping: Keeping,
        resume: bool,
    ) -> None:
        keeping.check()
        if resume and output is None:
            raise InvalidInput("to resume takes the folder of the run: give it as output")
        if output is None and jax.process_count() > 1:
            raise InvalidInput("several processes share one folder that all of them see: give it as output")
        self.experiment, self.keeping, self.report = experiment, keeping, report
        self.made = made = programs(experiment, recording=keeping.exact_resume)
        self.provenance = provenance.session()  # before there is a folder that no commit knows
        self.num_epochs, self.members = made.loop.settings.num_epochs, experiment.num_members
        self.resumable = environments.resumable(made.loop.environment)
        if keeping.exact_resume and self.resumable == "by replay" and jax.process_count() > 1:
            raise InvalidInput(
                f"what the simulators of {experiment.environment} are told can be recorded by one process"
                f" alone, not by {jax.process_count()}: leave exact_resume out"
            )
        self.names = quantities(jax.eval_shape(made.begin, made.members)[0].agent)
        made_now = output is None or not output.is_dir()
        self.record = open_record(output, experiment.name, resume)
        self.checkpoints: Checkpoints | None = None
        self.trackers: list[trackers.Tracker] = []
        self.stage = "compile"
        self.epoch = -1  # the last one done, the warm-up being 0
        self.first_epoch = -1  # the one that a checkpoint was of
        self.metrics: Metrics | None = None
        self.alive = np.ones(self.members, bool)
        self.new_episodes = 0
        self.begun: float | None = None
        self.compile_seconds = self.seconds_at_epoch = 0.0
        self.digest: str | None = None
        self.message: str | None = None
        self.lost: list[str] = []  # trackers that failed, in words
        self.begun_before = False
        try:
            self.open(resume)
        except BaseException as error:
            with contextlib.suppress(Exception):
                self.close()
            if made_now and isinstance(error, InvalidInput) and self.record.writes:
                shutil.rmtree(self.record.folder, ignore_errors=True)  # nothing was run in it
            raise

    def open(self, resume: bool) -> None:
        record, keeping = self.record, self.keeping
        self.description = describe(self.experiment, self.made)
        recorded = read_json(record.folder / "experiment.json") if resume else None
        if keeping.checkpoint_every or resume:
            self.checkpoints = Checkpoints(record.folder, keeping.keep)
            if recorded is None and self.checkpoints.epochs:  # its record is lost, but for what these say
                recorded = self.checkpoints.description()
        if recorded is not None:
            self.check_same(recorded)
        self.begun_before = recorded is not None

        def write() -> None:
            for name in keeping.track:
                self.trackers.append(trackers.open_tracker(name, record.folder, self.description))
            if not (record.folder / "experiment.json").exists():
                record.write_experiment(self.description, self.made, self.provenance)

        processes.by_first(write)

    def check_same(self, recorded: dict[str, Any]) -> None:
        check_same(self.record.folder, recorded, self.description, self.keeping.accept_versions)
        # A run may be made longer, as long as its epochs are what they were.
        then, now = recorded["settings"], self.description["settings"]
        points = any(name in ("settings.total_steps", "settings.num_epochs") for name in self._swept())
        length = self.made.loop.iterations_per_epoch
        before = dataclasses.replace(
            self.made.loop.settings, total_steps=then["total_steps"], num_epochs=then["num_epochs"]
        )
        same = (then["total_steps"], then["num_epochs"]) == (now["total_steps"], now["num_epochs"])
        was = before.iterations_per_epoch(self.made.loop.warmup_steps)
        if not same and (points or was != length):
            raise InvalidInput(
                f"{self.record.folder} has epochs of {was} iterations (total_steps ="
                f" {then['total_steps']}, num_epochs = {then['num_epochs']}), not of {length}"
                f" (total_steps = {now['total_steps']}, num_epochs = {now['num_epochs']}); a run may be"
                " made longer by more epochs of the same length"
            )

    def _swept(self) -> set[str]:
        return {name for point in self.experiment.points for name, _ in point}

    def run(self) -> Result:
        ended: Ended = "done"
        runners = None
        try:
            self.tell()
            devices = [str(device) for device in self.made.mesh.devices.flat]
            self.record.log("start", session=self.provenance, devices=devices)
            shapes, shardings = self.made.runners()
            arguments = jax.tree.map(
                lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
                shapes,
                shardings,
            )
            runners = self.restore(shapes, shardings)
            start = time.perf_counter()
            begin = epoch = None
            if self.epoch < 0:
                begin = self.made.begin.lower(self.made.members).compile()
            if self.epoch < self.num_epochs:
                epoch = self.made.epoch.lower(arguments, jnp.int32(0)).compile()
            self.compile_seconds = time.perf_counter() - start
            self.begun = time.perf_counter()
            if begin is not None:
                self.stage = "warm-up"
                runners = self.finish(begin(self.made.members))
            self.stage = "train"
            self.tell()
            # Of several processes none may stop while others go on: they agree after each epoch.
            with processes.heard() if jax.process_count() > 1 else contextlib.nullcontext([]) as signals:
                while epoch is not None and self.epoch < self.num_epochs and not self.stopped():
                    runners = self.finish(epoch(runners, jnp.int32(self.epoch)))
                    if processes.any_of(bool(signals)):
                        raise KeyboardInterrupt
            if self.stopped():
                ended = "stopped"
            if self.checkpoints is not None:
                self.checkpoints.wait()
        except KeyboardInterrupt:
            ended = "interrupted"
        except Exception as error:
            kind = "" if isinstance(error, StorageError) else f"{type(error).__name__}: "
            self.record.log("failed", reason=f"{kind}{error}")
            raise
        return self.end(ended, runners)

    def restore(self, shapes: PyTree, shardings: PyTree) -> PyTree | None:
        """The runners of the last checkpoint that can be read, or None to begin with."""
        if self.checkpoints is None:
            return None
        folder = self.record.folder
        restored = self.checkpoints.restore(
            shapes,
            shardings,
            self.members,
            lambda recorded: check_same(folder, recorded, self.description, self.keeping.accept_versions),
        )
        if restored is None:
            if not self.ended_without():
                self.begin_anew()
            return None
        self.stage = "resume"
        if restored.epoch > self.num_epochs:
            raise InvalidInput(
                f"{folder} has done {restored.epoch} epochs already, more than num_epochs = {self.num_epochs}"
            )
        simulators = self.resumable != "exactly" and restored.epoch < self.num_epochs
        if simulators and self.resumable == "never":
            raise InvalidInput(
                f"{self.experiment.environment} with backend=ffi cannot be resumed; backend=callback can"
            )
        curves = self.curves_until(restored.epoch)
        actions = None  # read before anything is changed, lest there be none
        if simulators and self.keeping.exact_resume:
            actions = self.record.read_actions(restored.epoch)
        for reason in restored.damaged:
            self.say(f"damaged, moved to damaged/ and passed over: {reason}")

        def write() -> None:
            if restored.epoch < self.num_epochs:
                self.record.remove_summary()
            self.record.cut_metrics(restored.epoch)
            self.record.write_settings(self.description["settings"])

        processes.by_first(write)
        self.epoch = self.first_epoch = restored.epoch
        self.digest = restored.digest
        self.alive = curves["alive"][:, -1] == 1
        self.say(f"resumed after epoch {restored.epoch}")
        return self.restore_simulators(restored.runners, actions) if simulators else restored.runners

    def curves_until(self, epoch: int) -> dict[str, np.ndarray]:
        """The metrics of all epochs up to one, ``[members, 1 + epoch]``.

        Raises:
            StorageError: some are missing.
        """
        path = self.record.folder / "metrics.jsonl"
        try:
            curves = read_metrics(self.record.folder)
        except InvalidInput as error:  # there are none
            raise StorageError(str(error)) from error
        curves = {name: values[:, : epoch + 1] for name, values in curves.items()}
        if curves["alive"].shape != (self.members, epoch + 1) or np.isnan(curves["epoch"]).any():
            raise StorageError(f"{path} lacks rows of epochs up to {epoch}")
        return curves

    def ended_without(self) -> bool:
        """Whether the run has ended and wrote no checkpoint, so that there is nothing left to do."""
        summary = read_json(self.record.folder / "summary.json") or {}
        if summary.get("ended") != "done" or summary.get("epochs") != self.num_epochs:
            return False
        self.alive = self.curves_until(self.num_epochs)["alive"][:, -1] == 1
        self.epoch = self.first_epoch = self.num_epochs
        return True

    def begin_anew(self) -> None:
        """Of a run that was ended before its first checkpoint nothing is left to go on with."""
        with contextlib.suppress(InvalidInput):
            done = int(np.nanmax(read_metrics(self.record.folder)["epoch"]))
            if done > 0:  # the first checkpoint is older than that, if there ever was one
                raise StorageError(
                    f"{self.record.folder} has metrics of {done} epochs and no checkpoint to go on from:"
                    " it was run without any (checkpoint_every = 0), or they are gone"
                )
            self.say("ended before its first checkpoint, and begun again")

        def write() -> None:
            self.record.remove_summary()
            self.record.cut_metrics(None)
            self.record.forget_actions()
            self.record.write_settings(self.description["settings"])

        processes.by_first(write)

    def restore_simulators(self, runners: PyTree, records: list[pools.Record] | None) -> PyTree:
        """Runners with simulators on the host: as they were, or with new episodes."""
        if records is not None:

            def replayed(done: int, total: int) -> None:
                self.stage = f"replay {done / total:4.0%}"
                self.tell()

            runners = replay(self.made, runners, records, replayed)
            self.say("simulators were told again all that they had been told, and are where they were")
            return runners
        self.record.forget_actions()
        runners = self.made.renew(runners, jnp.int32(self.epoch))
        self.new_episodes = self.made.loop.settings.num_envs
        self.say(
            f"simulators cannot be saved: new episodes were begun in all {self.new_episodes} environments of"
            " each seed, and the run is not what it would have been (exact_resume makes it so)"
        )
        return runners

    def finish(self, outcome: tuple[PyTree, Metrics]) -> PyTree:
        """Waits for an epoch, and puts on disk what came of it."""
        # Waiting in Python, not in the device's queue, so that an interrupt is heard at once.
        while not all(leaf.is_ready() for leaf in jax.tree.leaves(outcome[1])):
            self.tell()
            time.sleep(0.02)
        with processes.uninterrupted():
            offences = self.put_on_disk(*outcome)
        for message in [*map(str, offences), *self.lost]:
            self.say(message, logged=True)
        self.lost = []
        self.tell()
        return outcome[0]

    def put_on_disk(self, runners: PyTree, metrics: Metrics) -> list[Offence]:
        """Writes an epoch's rows and its checkpoint. Returns what went wrong in it."""
        self.metrics = metrics = jax.device_get(seeds_.first(metrics, self.members))
        epoch = self.epoch + 1
        offences = self.offences(metrics)
        for offence in offences:
            self.alive[offence.point * self.experiment.num_seeds + offence.seed] = False
        if self.checkpoints is not None:
            # An epoch has its rows only once the one before it is safe, so that no more than one is
            # ever lost.
            self.checkpoints.wait()
        rows = rows_of(metrics, epoch, self.experiment.num_seeds, self.alive, self.new_episodes)
        processes.by_first(lambda: self.record.write_metrics(rows))
        self.epoch, self.new_episodes, self.digest = epoch, 0, None
        for offence in offences:
            self.record.log("note", epoch=epoch, message=str(offence))
        if self.keeping.exact_resume:
            self.write_actions(runners, epoch)
        self.track(epoch, rows)
        if self.due(epoch):
            assert self.checkpoints is not None
            score = mean_return(metrics, self.alive)
            self.digest = self.checkpoints.save(
                epoch, forget_simulators(runners), self.members, self.description, score
            )
        self.seconds_at_epoch = self.elapsed()
        return offences

    def track(self, epoch: int, rows: list[dict[str, Any]]) -> None:
        """Hands the rows to the trackers. One that fails is given up: the run matters more."""
        for tracker in list(self.trackers):
            try:
                tracker.write(epoch, rows)
            except Exception as error:
                self.trackers.remove(tracker)
                message = f"{type(tracker).__name__} is written no more: {type(error).__name__}: {error}"
                self.record.log("note", epoch=epoch, message=message)
                self.lost.append(message)

    def due(self, epoch: int) -> bool:
        every = self.keeping.checkpoint_every
        return bool(every) and (epoch % every == 0 or epoch == self.num_epochs or self.stopped())

    def write_actions(self, runners: PyTree, epoch: int) -> None:
        taken = host.take_record(runners.environment_state)
        if taken is not None:
            self.record.write_actions(
                epoch, pools.Record(taken.seeds[: self.members], taken.actions[:, : self.members])
            )

    def offences(self, metrics: Metrics) -> list[Offence]:
        """Members that were finite until this epoch."""
        when, what = np.asarray(metrics.nonfinite_iteration), np.asarray(metrics.nonfinite_quantity)
        number = self.experiment.num_seeds
        return [
            Offence(int(i) // number, int(i) % number, int(when[i]), self.names[int(what[i])])
            for i in np.flatnonzero((what >= 0) & self.alive)
        ]

    def stopped(self) -> bool:
        return self.keeping.on_nan == "stop" and not self.alive.all()

    def say(self, message: str, logged: bool = False) -> None:
        """Tells something once, and logs it unless that has been done."""
        if not logged:
            self.record.log("note", epoch=max(self.epoch, 0), message=message)
        self.message = message
        self.tell()
        self.message = None

    def tell(self) -> None:
        done = max(self.epoch, 0)
        session_epochs = done - max(self.first_epoch, 0)
        self.report(
            Progress(
                stage=self.stage,
                epoch=done,
                num_epochs=self.num_epochs,
                environment_steps=self.steps(self.epoch),
                seconds=self.elapsed(),
                seconds_at_epoch=self.seconds_at_epoch,
                session_steps=self.steps(self.epoch) - self.steps(self.first_epoch),
                session_epochs=session_epochs,
                alive=int(self.alive.sum()),
                metrics=self.metrics,
                message=self.message,
            )
        )

    def steps(self, epoch: int) -> int:
        """Environment steps of all members after an epoch; -1 is before the warm-up."""
        loop = self.made.loop
        iterations = loop.warmup_iterations + epoch * loop.iterations_per_epoch if epoch >= 0 else 0
        return iterations * loop.settings.rollout_size * self.members

    def elapsed(self) -> float:
        return time.perf_counter() - self.begun if self.begun is not None else 0.0

    def end(self, ended: Ended, runners: PyTree | None) -> Result:
        run_seconds = self.elapsed()
        if self.checkpoints is not None:
            self.checkpoints.wait()
        whole = ended != "interrupted" and runners is not None
        result = Result(
            folder=self.record.folder,
            runners=seeds_.first(runners, self.members) if whole else None,
            metrics=self.metrics,
            compile_seconds=self.compile_seconds,
            run_seconds=run_seconds,
            environment_steps=self.steps(self.epoch),
            session_steps=self.steps(self.epoch) - self.steps(self.first_epoch),
            ended=ended,
            alive=self.alive,
            digest=self.digest,
        )
        old = read_json(self.record.folder / "summary.json")
        if self.first_epoch >= self.num_epochs and old is not None and old.get("ended") == "done":
            return result  # it had ended before
        if self.epoch < 0 and self.begun_before:
            return result  # and what is written of it is still so
        self.record.write_summary(
            {
                "ended": ended,
                "interrupted": result.interrupted,
                "epochs": max(self.epoch, 0),
                "members_alive": int(self.alive.sum()),
                "digest": self.digest,
                "compile_seconds": self.compile_seconds,
                "run_seconds": run_seconds,
                "environment_steps": result.environment_steps,
                "environment_steps_per_second": result.steps_per_second,
            }
        )
        self.record.log(ended, epoch=max(self.epoch, 0), digest=self.digest)
        return result

    def close(self) -> None:
        """Lets go of the folder, of the threads that write to it, and of the trackers."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.record.close)
            if self.checkpoints is not None:
                stack.callback(self.checkpoints.close)
            for tracker in self.trackers:
                with contextlib.suppress(Exception):
                    tracker.close()


def open_record(output: Path | None, name: str, resume: bool) -> Record:
    """The folder of a run, made by the first process, and gone on with if that is asked for."""

    def make() -> Record:
        if resume and output is not None and output.is_dir():
            return Record.reopen(output)
        return Record.create(output, name)

    record = processes.by_first(make)
    if record is None:
        assert output is not None
        return Record(output, writes=False)
    return record


def replay(
    made: Programs, runners: PyTree, records: list[pools.Record], report: Callable[[int, int], None]
) -> PyTree:
    """Runners with simulators that have been told what ``records`` hold, one after another."""
    record = pools.concatenate(records)
    rows = seeds_.padding(len(record.seeds), made.members.key.shape[0])  # as the members are
    record = pools.Record(record.seeds[rows], record.actions[:, rows])
    number = len(rows) if made.seeds == "map" else made.mesh.size
    environment = environments.unwrapped(made.loop.environment)
    assert isinstance(environment, host.HostEnvironment)
    return host.replay(environment, runners, record, number, report)
