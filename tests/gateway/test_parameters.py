"""The allow-list: every parameter of the official SDK is classified, so a new one cannot cost money unseen."""

from anthropic.types import message_create_params
from anthropic.types.beta import message_create_params as beta_params

from tokenpool.gateway.parameters import PARAMETERS


def test_every_parameter_of_the_sdk_is_classified() -> None:
    """Stable and beta, of the version that is installed."""
    known = {
        *message_create_params.MessageCreateParamsBase.__annotations__,
        *message_create_params.MessageCreateParamsStreaming.__annotations__,
        *beta_params.MessageCreateParamsBase.__annotations__,
    }

    assert set() == known - PARAMETERS.keys()
    assert {"fallbacks", "billing_policy", "mcp_servers"} <= known
