#!/bin/sh
# Checks what is staged, as it is staged: format and style of Python files, directions of imports, the contract.
set -eu
root=$(git rev-parse --show-toplevel)
cd "$root"
PATH=$root/.venv/bin:$PATH

changed=$(git diff --cached --name-only --diff-filter=ACMR)
python=$(printf '%s\n' "$changed" | grep '\.py$' | grep -v '^proto/gen/' || true)
contract=$(printf '%s\n' "$changed" | grep -E '^(proto/|buf\.)' || true)
[ -n "$python$contract" ] || exit 0

# What will be committed, and nothing that only lies in the folder.
staged=$(mktemp -d)
trap 'rm -rf "$staged"' EXIT
git checkout-index --all --prefix="$staged/"
cd "$staged"
# Git tells hooks of its index; here is another folder.
unset GIT_INDEX_FILE GIT_DIR GIT_WORK_TREE

fail() {
    echo "pre-commit: $1" >&2
    exit 1
}
if [ -n "$python" ]; then
    # Names of tracked Python files have no spaces.
    ruff check --quiet --no-cache --force-exclude $python || fail "style; make format mends most of it."
    ruff format --quiet --no-cache --force-exclude --check $python || fail "format; run make format."
    PYTHONPATH=$staged:$staged/proto/gen:$staged/clients/python lint-imports --no-cache >"$staged/imports" 2>&1 || {
        cat "$staged/imports" >&2
        fail "an import goes the wrong way; docs/architecture.md has the rooms."
    }
fi
if [ -n "$contract" ]; then
    buf lint || fail "the contract."
    cp -R proto/gen "$staged/gen"
    PYTHONPATH=$staged buf generate || fail "the contract cannot be generated."
    diff -r -q -x __pycache__ "$staged/gen" proto/gen >&2 || fail "proto/gen is not what the contract says; run make proto and add it."
fi
