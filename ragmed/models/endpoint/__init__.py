"""A model behind an OpenAI-compatible server. In: `endpoint:URL#MODEL` and its settings. Out: a Model.

vLLM, SGLang, llama.cpp, Ollama, TGI and `transformers serve` are such servers; see docs/endpoints.md.
"""

from __future__ import annotations

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
    from ragmed.models.counting import load_counter
    from ragmed.models.endpoint.client import Client, Patience
    from ragmed.models.endpoint.model import EndpointModel
    from ragmed.models.endpoint.server import ask_facts, find_form, with_loaded_context

    counter = load_counter(settings.tokenizer, workspace=workspace)
    patience = Patience(settings.timeout, settings.retries)
    client = Client(endpoint, secret, patience=patience, concurrency=settings.concurrency, seed=seed)
    facts = ask_facts(client)
    form = find_form(client, settings, facts, seed=seed)
    facts = with_loaded_context(client, settings, facts)
    return EndpointModel(settings, client, facts=facts, form=form, counter=counter)
