"""`ragmed build-index` and `ragmed search`."""

from __future__ import annotations

from pathlib import Path

import click

from ragmed.workspace import Workspace

from .options import say, say_json


@click.command("build-index")
@click.argument("name")
@click.option("--embedder", help="Instead of the recipe's, such as packaged:minilm or hf:ORG/NAME@REVISION.")
@click.option("--factory", help="FAISS factory string instead of the recipe's, such as Flat or IVF256,Flat.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder; default indexes/NAME.")
@click.pass_obj
def build_index(
    workspace: Workspace, name: str, embedder: str | None, factory: str | None, device: str, output: Path | None
) -> None:
    """Corpus to index. NAME is an index recipe, a corpus, or the path of a recipe; resumes where it was stopped.

    \b
    Example:
      ragmed build-index handbook
      ragmed build-index pubmed-sample --device cuda --output /fast/pubmed
    """
    from ragmed.retrieval.named import build_named, describe_manifest

    manifest, fresh = build_named(
        name, workspace=workspace, embedder=embedder, factory=factory, device=device, output=output
    )
    say(describe_manifest(manifest))
    if not fresh:
        say("it was built before, and nothing has changed since")


@click.command()
@click.argument("index")
@click.argument("query")
@click.option(
    "--method",
    default="dense",
    show_default=True,
    help="dense, bm25, rrf (both, fused), mmr, rerank, sparse or late-interaction.",
)
@click.option(
    "--model", default="", help="What rerank, sparse or late-interaction reads with: path:DIR or hf:ORG/NAME@REVISION."
)
@click.option("-k", default=5, show_default=True, type=click.IntRange(1), help="How many passages.")
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    help="Where the index is searched: auto, cpu, cuda, cuda:0,1 or all; torch:cuda or faiss:cuda for one of the two.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object with all fields.")
@click.pass_obj
def search(
    workspace: Workspace, index: str, query: str, method: str, model: str, k: int, device: str, as_json: bool
) -> None:
    """What retrieval finds for one QUERY in INDEX (a name or a folder).

    \b
    Example:
      ragmed search handbook "Who approves transfer of a ventilated patient?" -k 3
      ragmed search handbook "fendrulate dose by weight" --method bm25
    """
    from dataclasses import asdict

    from ragmed.retrieval.named import stale
    from ragmed.retrieval.spec import search_index

    if outdated := stale(index, workspace):
        say(f"note: {outdated}; what follows is from the older one", err=True)
    hits = search_index(index, query, k=k, workspace=workspace, method=method, model=model, device=device)
    if as_json:
        say_json({"index": index, "query": query, "hits": [asdict(hit) for hit in hits]}, indent=None)
        return
    if not hits:
        say(f"no passage of '{index}' has a word of the query", err=True)
    for hit in hits:
        heading = " > ".join(filter(None, (hit.passage.title, hit.passage.heading)))
        say(f"{hit.rank}. {hit.score:.3f}  {hit.passage.id}  {heading}")
        say("     " + " ".join(hit.passage.text.split())[:300])
        if hit.passage.citation:
            say(f"     {hit.passage.citation}")
