"""A sherpa-onnx voice of a few hundred bytes: every token sounds as 0.1 s of a tone that swells and fades, at 16 kHz.

The model is ours: a graph of Range, Sin and Mul with the inputs of a VITS model and the notes that sherpa-onnx asks for.
"""

from base64 import b64decode
from pathlib import Path

RATE_HZ = 16000
TOKEN_MS = 100
_MODEL = """
CAg64QQKDgoBeBICeHMiBVNoYXBlCiEKAnhzCgNvbmUSAUwiBkdhdGhlcioLCgRheGlzGACgAQIKGAoBTBICTGYiBENhc3QqCQoCdG8YAaABAg
oSCgJMZgoDcGVyEgJuMCIDTXVsCiAKDGxlbmd0aF9zY2FsZQoDYXgwEgJscyIHU3F1ZWV6ZQoRCgJuMAoCbHMSAm4xIgNNdWwKGgoEemVybwoC
bjEKBG9uZWYSAXQiBVJhbmdlCg4KAXQKAXcSAXAiA011bAoLCgFwEgFzIgNTaW4KEgoCd2UKAmxzEgN3ZTEiA0RpdgoQCgF0CgN3ZTESAXEiA0
11bAoLCgFxEgFlIgNTaW4KDwoBcwoBZRICc2UiA011bAoQCgJzZQoBZxICc2ciA011bAoYCgJzZwoEYXgwMRIBeSIJVW5zcXVlZXplEgN0b3kq
ChAHOgEBQgNvbmUqDRABIgQAAMhEQgNwZXIqDAgBEAc6AQBCA2F4MCoOEAEiBAAAAABCBHplcm8qDhABIgQAAIA/QgRvbmVmKgsQASIEO++wPU
IBdyoMEAEiBP2tADtCAndlKgsQASIEAAAAP0IBZyoOCAIQBzoCAAFCBGF4MDFaFAoBeBIPCg0IBxIJCgIIAQoDEgFMWhYKCHhfbGVuZ3RoEgoK
CAgHEgQKAggBWhkKC25vaXNlX3NjYWxlEgoKCAgBEgQKAggBWhoKDGxlbmd0aF9zY2FsZRIKCggIARIECgIIAVobCg1ub2lzZV9zY2FsZV93Eg
oKCAgBEgQKAggBYhgKAXkSEwoRCAESDQoCCAEKAggBCgMSAU5CBAoAEA1yFAoLc2FtcGxlX3JhdGUSBTE2MDAwcg8KCm5fc3BlYWtlcnMSATFy
EwoIbGFuZ3VhZ2USB0NoaW5lc2VyEgoHY29tbWVudBIHaWNlZmFsbHIOCglhZGRfYmxhbmsSATByHgoLcHVuY3R1YXRpb24SDywgLiA6IDsgIS
A/IO+8jA==
"""


def unpack(folder: Path) -> Path:
    """A complete voice that can say 你好 and 妈."""
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(b64decode("".join(_MODEL.split())))
    tokens = "， 。 sil eos sp n i3 h ao3 m a1".split()
    (folder / "tokens.txt").write_text("".join(f"{token} {n}\n" for n, token in enumerate(tokens)), encoding="utf-8")
    (folder / "lexicon.txt").write_text("你 n i3\n好 h ao3\n妈 m a1\n", encoding="utf-8")
    return folder
