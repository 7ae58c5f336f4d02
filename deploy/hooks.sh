#!/bin/sh
# Puts deploy/pre-commit.sh before each commit of this checkout. Leaves a hook alone that somebody else has put there.
set -eu
cd "$(dirname "$0")/.."
hooks=$(git rev-parse --git-path hooks) || exit 1
hook=$hooks/pre-commit
mark='# Written by make hooks.'
if [ -e "$hook" ] && ! grep -qF "$mark" "$hook"; then
    echo "hooks: $hook is there already and not from here. Call deploy/pre-commit.sh in it." >&2
    exit 1
fi
mkdir -p "$hooks"
printf '#!/bin/sh\n%s\nexec "$(git rev-parse --show-toplevel)/deploy/pre-commit.sh"\n' "$mark" >"$hook"
chmod +x "$hook"
echo "hooks: format, style and contract are checked before each commit; git commit --no-verify goes without."
