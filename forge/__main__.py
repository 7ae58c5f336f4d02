"""`python -m forge <command>`: see `--help`."""

import argparse
from pathlib import Path

from forge.random_weights import SIZES, write_fixtures, write_random_adapter, write_random_model


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


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="python -m forge", description=__doc__)
    commands = root.add_subparsers(required=True, metavar="command")

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
