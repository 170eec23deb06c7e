"""What the hub's library raised -> one sentence that says what to do. Nothing is fetched here.

It knows nothing else of ragmed, so that models and embedders answer the same failure with the same words.
"""

from __future__ import annotations

import os

TRUE = ("1", "true", "on", "yes")


def offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids every attempt to reach the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in TRUE


def hub_reason(error: BaseException, repository: str, revision: str = "") -> str:
    """
    >>> hub_reason(ValueError("no hub error"), "org/name")
    ''

    Looks at the error and at those it was raised from; empty where none is the hub's. `revision`: as it was asked for.
    """
    from huggingface_hub import errors

    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    at = f"'{repository}'" + (f" at '{revision}'" if revision else "")
    # In this order: a gated repository's error is a kind of the one for a repository that is not there.
    sentences = (
        (
            errors.GatedRepoError,
            f"'{repository}' is gated: accept its terms on the model's page, then `hf auth login` or set HF_TOKEN",
        ),
        (errors.DisabledRepoError, f"'{repository}' has been disabled on the hub; choose another model"),
        (
            errors.RepositoryNotFoundError,
            f"the hub has no '{repository}' that you may see: check its name, or `hf auth login` (or set HF_TOKEN) for "
            "a private one",
        ),
        (
            errors.RevisionNotFoundError,
            f"'{repository}' has no revision '{revision or 'main'}': name a branch, a tag or a whole commit hash",
        ),
    )
    for kind, sentence in sentences:
        if any(isinstance(cause, kind) for cause in chain):
            return sentence
    for cause in chain:
        status = getattr(getattr(cause, "response", None), "status_code", 0)
        if isinstance(cause, errors.HfHubHTTPError) and status in (401, 403):
            return (
                f"the hub does not let you read {at} ({status}): accept its terms on the model's page, and check "
                "`hf auth whoami` or HF_TOKEN"
            )
    incomplete = any(isinstance(cause, errors.IncompleteSnapshotError) for cause in chain)
    missing = any(isinstance(cause, (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled)) for cause in chain)
    if not missing:
        return ""
    state = f"the local cache holds only a part of {at}" if incomplete else f"the local cache has no {at}"
    if offline():
        return f"{state}, and HF_HUB_OFFLINE forbids to fetch it; fetch it once without that, or name a folder by path:"
    return f"{state}, and the hub could not be reached; connect, or name a folder by path:"
