#!/bin/sh
# Compares the contract with the last release, or with the last commit before there is one: old clients must go on working.
set -eu
cd "$(dirname "$0")/.."
if ! git rev-parse --verify --quiet HEAD >/dev/null 2>&1; then
    echo "breaking: not a git repository; nothing to compare the contract with."
    exit 0
fi
reference=$(git describe --tags --abbrev=0 2>/dev/null || git rev-parse HEAD)
exec buf breaking --against ".git#ref=$reference"
