"""The engines in the order of settings.SPEECH_CHAIN."""

from collections.abc import AsyncIterator

from django.conf import settings
from django.utils.module_loading import import_string

from avatar.tts.base import SpeechRequest, Spoken


class SpeechChain:
    def __init__(self, engines: list) -> None:
        self.engines = engines

    @classmethod
    def from_settings(cls) -> "SpeechChain":
        chosen = [settings.SPEECH_ENGINES[name] for name in settings.SPEECH_CHAIN]
        return cls([import_string(e["BACKEND"])(**e["OPTIONS"]) for e in chosen])

    async def synthesize(self, request: SpeechRequest) -> AsyncIterator[Spoken]:
        async for item in self.engines[0].synthesize(request):
            yield item
