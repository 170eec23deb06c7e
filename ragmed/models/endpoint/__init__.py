"""A model behind an OpenAI-compatible server. In: `endpoint:URL#MODEL` and its settings. Out: a Model.

vLLM, SGLang, llama.cpp, Ollama, TGI and `transformers serve` are such servers; see docs/endpoints.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ragmed.models.endpoint.names import parse_endpoint
from ragmed.models.endpoint.secret import read_secret
from ragmed.models.settings import ModelSettings
from ragmed.workspace import Workspace

if TYPE_CHECKING:
    from ragmed.models.endpoint.model import EndpointModel


def load(settings: ModelSettings, *, workspace: Workspace, seed: int) -> EndpointModel:
    """
        load(ModelSettings("endpoint:http://127.0.0.1:8000/v1#m"), workspace=ws, seed=0)

    Asks the server what it is, and one short question. Raises UsageError for a name that cannot be read, ModelError for
    a server that does not answer, a key that is not accepted, a model that is not there.
    """
    endpoint, secret = parse_endpoint(settings.name), read_secret(settings.key)
    from ragmed.models.counting import Tokenizer, load_counter
    from ragmed.models.endpoint.client import Client, Patience
    from ragmed.models.endpoint.counting import passes_system_over, server_counter
    from ragmed.models.endpoint.model import EndpointModel
    from ragmed.models.endpoint.server import ask_facts, find_form, with_loaded_context

    counter = load_counter(settings.tokenizer, workspace=workspace)
    patience = Patience(settings.timeout, settings.retries)
    client = Client(endpoint, secret, patience=patience, concurrency=settings.concurrency, seed=seed)
    facts = ask_facts(client)
    form = find_form(client, settings, facts, seed=seed)
    counts = server_counter(client, facts, form)
    if counts is not None and form.system_turn and passes_system_over(counts):
        form = replace(form, system_turn=False)
        counts = server_counter(client, facts, form)
    chosen = counter if counts is None or isinstance(counter, Tokenizer) else counts
    facts = with_loaded_context(client, settings, facts)
    return EndpointModel(settings, client, facts=facts, form=form, counter=chosen)
