"""`python -m forge <command>`: see `--help`."""

import argparse
from pathlib import Path

from forge.random_weights import SIZES, write_fixtures, write_random_adapter, write_random_model

MODELS = Path("actors/llama/models")
WORK = Path("build/forge")


def _fixture(options: argparse.Namespace) -> None:
    for path in write_fixtures(options.out, options.seed):
        print(f"{path}  {path.stat().st_size / 1e3:.0f} kB")


def _random(options: argparse.Namespace) -> None:
    shape = SIZES[options.size]
    write_random_model(options.out, shape, f"random-{options.size}", options.seed)
    print(f"{options.out}  {shape.parameters() / 1e6:.0f} M parameters, {options.out.stat().st_size / 1e6:.0f} MB")
    if options.adapter:
        write_random_adapter(options.adapter, shape, f"random-{options.size}-lora", seed=options.seed)
        print(f"{options.adapter}  {options.adapter.stat().st_size / 1e6:.1f} MB")


def _tiny(options: argparse.Namespace) -> None:
    from forge.pipeline import make
    from forge.train import Plan

    plan = Plan(seed=options.seed, steps=options.steps or Plan().steps)
    make(options.work, options.out, plan, _say)


def _release(options: argparse.Namespace) -> None:
    from forge.pipeline import release

    release(options.work, options.out, _say)


def _label(options: argparse.Namespace) -> None:
    from forge.gguf_file import relabel
    from forge.pipeline import LABEL

    relabel(options.file, LABEL)


def _adapter(options: argparse.Namespace) -> None:
    from forge.adapter import AdapterPlan, train_adapter

    train_adapter(options.base, options.out, AdapterPlan(steps=options.steps, seed=options.seed), _say)
    print(f"{options.out}  {options.out.stat().st_size / 1e3:.0f} kB")


def _say(line: str) -> None:
    print(line, flush=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="python -m forge", description=__doc__)
    commands = root.add_subparsers(required=True, metavar="command")

    tiny = commands.add_parser("tiny", help="train troupe-tiny, check it, measure it and put it where it ships from")
    tiny.add_argument("--out", type=Path, default=MODELS, help="folder for model, card and scores")
    tiny.add_argument("--work", type=Path, default=WORK, help="folder for the checkpoint")
    tiny.add_argument("--steps", type=int, help="train for fewer or more steps than planned")
    tiny.add_argument("--seed", type=int, default=0)
    tiny.set_defaults(run=_tiny)

    release = commands.add_parser("release", help="the part of `tiny` that comes after training")
    release.add_argument("--out", type=Path, default=MODELS, help="folder for model, card and scores")
    release.add_argument("--work", type=Path, default=WORK, help="folder with the checkpoint")
    release.set_defaults(run=_release)

    label = commands.add_parser("label", help="write troupe-tiny's label anew, without touching its weights")
    label.add_argument("--file", type=Path, default=MODELS / "troupe-tiny.gguf", help="GGUF file to change")
    label.set_defaults(run=_label)

    adapter = commands.add_parser("adapter", help="train a small LoRA adapter for troupe-tiny")
    adapter.add_argument("--base", type=Path, default=MODELS / "troupe-tiny.gguf", help="model to adapt")
    adapter.add_argument("--out", type=Path, required=True, help="GGUF file to write")
    adapter.add_argument("--steps", type=int, default=100)
    adapter.add_argument("--seed", type=int, default=0)
    adapter.set_defaults(run=_adapter)

    fixture = commands.add_parser("fixture", help="very small random models and an adapter for tests of an engine")
    fixture.add_argument("--out", type=Path, required=True, help="folder to write into")
    fixture.add_argument("--seed", type=int, default=0)
    fixture.set_defaults(run=_fixture)

    random = commands.add_parser("random", help="a model with random weights for measurements")
    random.add_argument("--size", choices=sorted(SIZES), default="0.5b")
    random.add_argument("--out", type=Path, required=True, help="GGUF file to write")
    random.add_argument("--adapter", type=Path, help="also write a random LoRA adapter for it here")
    random.add_argument("--seed", type=int, default=0)
    random.set_defaults(run=_random)
    return root


def main() -> None:
    """Run the command that the command line names."""
    options = parser().parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
