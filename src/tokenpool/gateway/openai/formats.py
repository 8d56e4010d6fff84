"""OpenAI's three formats, as values of the walk."""

from functools import partial

from tokenpool.gateway.formats import Format, whole
from tokenpool.gateway.openai.answers import ID_HEADERS, UsageHider, envelope
from tokenpool.gateway.openai.call import OpenAiCall, read_chat, read_embeddings, read_responses
from tokenpool.metering import openai
from tokenpool.metering.openai_streams import ChatMeter, ResponsesMeter

CHAT: Format[OpenAiCall] = Format(
    speaks="openai",
    path="/v1/chat/completions",
    read=read_chat,
    usage=whole(partial(openai.usage_of, openai.CHAT)),
    meter=lambda call, price: ChatMeter(call.estimated_input(price), call.choices),
    envelope=envelope,
    id_headers=ID_HEADERS,
    outward=lambda call: UsageHider() if call.hides_usage else None,
)
RESPONSES: Format[OpenAiCall] = Format(
    speaks="openai",
    path="/v1/responses",
    read=read_responses,
    usage=whole(partial(openai.usage_of, openai.RESPONSES)),
    meter=lambda call, price: ResponsesMeter(call.estimated_input(price)),
    envelope=envelope,
    id_headers=ID_HEADERS,
)
EMBEDDINGS: Format[OpenAiCall] = Format(
    speaks="openai",
    path="/v1/embeddings",
    read=read_embeddings,
    usage=openai.usage_of_embeddings,
    meter=lambda call, price: ChatMeter(call.estimated_input(price), call.choices),
    envelope=envelope,
    id_headers=ID_HEADERS,
)
