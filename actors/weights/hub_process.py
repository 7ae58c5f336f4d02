"""A process that downloads from a hub: huggingface_hub blocks, and only a process can be ended in the middle.

It is told what by one line of JSON on its standard input and answers with lines of JSON: first what the model is made
of, at the end that all is there; or what is wrong. Files grow in the folder that it was given, and go on where they
ended.
"""

import errno
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from actors.weights.hub_files import Source, choose, licences
from bus import Code, RpcError

PIECE = 256 * 1024


def main() -> int:
    """Download; exit code 0 also where what is wrong was told."""
    told = json.loads(sys.stdin.readline())
    try:
        _bring(Source(**told["source"]), told["endpoint"] or None, Path(told["folder"]))
    except RpcError as error:
        _say(error={"code": int(error.code), "reason": error.reason, "message": error.message, **_more(error)})
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _say(
            error={
                "code": int(Code.RESOURCE_EXHAUSTED),
                "reason": "DISK_FULL",
                "message": "The disk became full. Nothing of it was kept; make room and pull again.",
            }
        )
    return 0


def _more(error: RpcError) -> dict[str, Any]:
    return {"metadata": error.metadata, "field": error.field}


def _bring(source: Source, endpoint: str | None, folder: Path) -> None:
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint)
    info = _asked(source, lambda: api.model_info(source.repo, revision=source.revision or None, files_metadata=True))
    sizes = {each.rfilename: each for each in info.siblings or []}
    chosen = choose(source, list(sizes))
    wanted = [*chosen.files, *licences(list(sizes))]
    files = [{"path": name, "size": sizes[name].size or 0, "sha256": _sha256(sizes[name])} for name in wanted]
    _keep_only_of(folder, str(info.sha))
    _check_room(source, folder, files)
    _say(model={"name": chosen.name, "folder": chosen.folder, "files": files[: len(chosen.files)],
                "licences": wanted[len(chosen.files):], "revision": str(info.sha), **_card(info)})  # fmt: skip
    for file in files:
        _asked(source, lambda file=file: _download(source, api, str(info.sha), folder, file))
    _say(done=True)


def _card(info: Any) -> dict[str, Any]:
    """What the hub knows of it."""
    data = info.card_data or {}
    licence, languages = str(data.get("license") or ""), data.get("language") or []
    if licence == "other":
        licence = str(data.get("license_name") or licence)
    told = languages if isinstance(languages, list) else [languages]
    tags = [*(data.get("tags") or ()), *([data.get("pipeline_tag")] if data.get("pipeline_tag") else ())]
    return {
        "license": licence,
        "languages": [each for each in told if isinstance(each, str)],
        "tags": [each for each in tags if isinstance(each, str)],
    }


def _download(source: Source, api: Any, revision: str, folder: Path, file: dict[str, Any]) -> None:
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils._headers import build_hf_headers

    path = folder / file["path"]
    path.parent.mkdir(parents=True, exist_ok=True)
    there = path.stat().st_size if path.exists() else 0
    if there > file["size"]:
        path.unlink()
        there = 0
    if there < file["size"] or not there:
        url = hf_hub_url(source.repo, file["path"], revision=revision, endpoint=api.endpoint)
        constants.DOWNLOAD_CHUNK_SIZE = PIECE  # 10 MB else, all of which an interruption would lose
        with path.open("ab", buffering=0) as target:
            http_get(url, target, resume_size=there, headers=build_hf_headers(), expected_size=file["size"])
            os.fsync(target.fileno())
    if file["sha256"] and _digest(path) != file["sha256"]:
        path.unlink()
        message = f"{file['path']} of {source.repo} is not what the hub announced; it was removed. Pull it again."
        raise RpcError(Code.DATA_LOSS, message, reason="WEIGHTS_CORRUPT")


def _asked(source: Source, ask: Any) -> Any:
    """What a hub answers. Raises its refusals as RpcError."""
    from huggingface_hub import errors

    try:
        return ask()
    except errors.GatedRepoError as error:
        message = f"{source.repo} asks for consent: accept its terms on its page, and start Troupe with HF_TOKEN set."
        raise RpcError(Code.PERMISSION_DENIED, message, reason="SOURCE_FORBIDDEN") from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        message = f"There is no {source} on the hub, or it is not for everybody; see its page, or set HF_TOKEN."
        raise RpcError(Code.NOT_FOUND, message, reason="SOURCE_NOT_FOUND", field="source") from error
    except errors.HfHubHTTPError as error:
        message = f"The hub refused {source}: {str(error).splitlines()[0][:300]}"
        raise RpcError(Code.UNAVAILABLE, message, reason="SOURCE_UNAVAILABLE") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _away(source, error) from error
    except RpcError:
        raise
    except Exception as error:  # its HTTP library is its own business
        raise _away(source, error) from error


def _away(source: Source, error: Exception) -> RpcError:
    message = (
        f"The hub of {source} cannot be reached ({type(error).__name__}: {str(error)[:200]}). What has come is kept."
    )
    return RpcError(Code.UNAVAILABLE, message, reason="SOURCE_UNAVAILABLE")


def _sha256(sibling: Any) -> str:
    return str(sibling.lfs.sha256) if sibling.lfs else ""


def _keep_only_of(folder: Path, revision: str) -> None:
    """What came of another revision is of no use."""
    mark = folder.parent / f"{folder.name}.revision"
    if folder.exists() and (not mark.exists() or mark.read_text("utf-8") != revision):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    mark.write_text(revision, "utf-8")


def _check_room(source: Source, folder: Path, files: list[dict[str, Any]]) -> None:
    there = sum((folder / file["path"]).stat().st_size for file in files if (folder / file["path"]).exists())
    needed, free = sum(file["size"] for file in files) - there, shutil.disk_usage(folder).free
    if needed > free:
        message = f"{source} needs {needed / 1e6:,.0f} MB more on the disk; {free / 1e6:,.0f} MB are free. Make room."
        metadata = {"needed": str(needed), "free": str(free)}
        raise RpcError(Code.RESOURCE_EXHAUSTED, message, reason="DISK_FULL", metadata=metadata)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    sys.exit(main())
