"""Anthropic's Messages format, as the walk needs it."""

from tokenpool.gateway.answers import envelope
from tokenpool.gateway.call import read_call
from tokenpool.gateway.formats import Format, whole
from tokenpool.metering.extract import usage_from_message
from tokenpool.metering.stream import StreamMeter

MESSAGES = Format(
    speaks="anthropic",
    path="/v1/messages",
    read=read_call,
    usage=whole(usage_from_message),
    meter=lambda _call, _price: StreamMeter(),
    envelope=envelope,
)
