"""The avatar's errors. Each has a stable ``code``, a ``status_code``, ``retryable``, and says what to do.

AvatarError
├── SpeechError                 no voice from an engine
│   ├── EngineUnavailable       it cannot be reached, or refuses (403, 503, no model folder)
│   │   └── EngineThrottled     it asks us to slow down (429)
│   ├── EngineStalled           it gave nothing in its budget
│   ├── EngineCut               it ended in the middle of a sentence
│   └── SpeechUnavailable       no engine of the chain spoke: captions only
├── RigError                    a portrait that no rig can be made from
│   ├── PictureUnreadable  PictureTooSmall  PictureTooLarge
│   └── NoFace  SeveralFaces  TurnedHead  OpenMouth
├── AvatarNotFound              no avatar of that name
├── ProtocolError               bytes that are no message (docs/protocol.md)
│   ├── MessageTruncated  MessageTooLarge
│   └── UnknownVersion  UnknownKind  BadField
└── StreamError                 the way between worker and socket
    ├── BadUtterance            a session, index, rate or text outside its limits
    └── FeedReplaced            a newer connection of the same session reads on
"""


class AvatarError(Exception):
    """``detail`` is for whoever operates or builds the avatar, and never quotes what was spoken."""

    code = "avatar_error"
    status_code = 500
    retryable = False
    detail = "The avatar failed."

    def __init__(self, detail: str = "", *, code: str = "") -> None:
        self.code = code or self.code
        self.detail = detail or self.detail
        super().__init__(f"{self.code}: {self.detail}")


class SpeechError(AvatarError):
    code = "speech_error"
    status_code = 503
    retryable = True
    detail = "The speech engine failed."


class EngineUnavailable(SpeechError):
    code = "engine_unavailable"
    detail = "The speech engine cannot be reached or refuses to speak."


class EngineThrottled(EngineUnavailable):
    code = "engine_throttled"
    status_code = 429
    detail = "The speech engine asks for fewer requests."


class EngineStalled(SpeechError):
    code = "engine_stalled"
    status_code = 504
    detail = "The speech engine gave nothing in its time."


class EngineCut(SpeechError):
    code = "engine_cut"
    status_code = 502
    detail = "The speech engine stopped in the middle of a sentence."


class SpeechUnavailable(SpeechError):
    code = "speech_unavailable"
    detail = "No speech engine spoke in time; the text is shown instead."


class RigError(AvatarError):
    code = "rig_error"
    status_code = 422
    detail = "No avatar can be made from this portrait."


class PictureUnreadable(RigError):
    code = "picture_unreadable"
    detail = "The file is no picture that can be read. Give a JPEG, PNG or WebP."


class PictureTooSmall(RigError):
    code = "picture_too_small"
    detail = "The face has too few pixels. Give a portrait of at least 384 x 384 whose face fills a third of the width."


class PictureTooLarge(RigError):
    code = "picture_too_large"
    status_code = 413
    detail = "The picture has too many pixels. Give one of at most 40 megapixels."


class NoFace(RigError):
    code = "no_face"
    detail = "No face was found. Give a portrait seen from the front, evenly lit, with nothing before the face."


class SeveralFaces(RigError):
    code = "several_faces"
    detail = "More than one face was found. Cut the picture to one person."


class TurnedHead(RigError):
    code = "turned_head"
    detail = "The head is turned or tilted. Give a portrait that looks straight into the camera."


class OpenMouth(RigError):
    code = "open_mouth"
    detail = "The mouth is open. Give a portrait with closed lips."


class AvatarNotFound(AvatarError):
    code = "avatar_not_found"
    status_code = 404
    detail = "There is no avatar of that name. Build one with manage.py build_avatar."


class ProtocolError(AvatarError):
    code = "protocol_error"
    status_code = 400
    detail = "These bytes are no message of the avatar's protocol."


class MessageTruncated(ProtocolError):
    code = "message_truncated"
    detail = "The message ends inside a packet."


class MessageTooLarge(ProtocolError):
    code = "message_too_large"
    status_code = 413
    detail = "A message holds at most 65536 bytes."


class UnknownVersion(ProtocolError):
    code = "unknown_version"
    detail = "The packet's version is not known here."


class UnknownKind(ProtocolError):
    code = "unknown_kind"
    detail = "The packet's kind is not known here."


class BadField(ProtocolError):
    code = "bad_field"
    detail = "A field of the packet is outside its range."


class StreamError(AvatarError):
    code = "stream_error"
    status_code = 500
    detail = "The stream between worker and socket failed."


class BadUtterance(StreamError):
    code = "bad_utterance"
    status_code = 400
    detail = "The utterance's session, index, rate or text is outside its limits."


class FeedReplaced(StreamError):
    code = "feed_replaced"
    status_code = 409
    detail = "A newer connection of this session has taken over."
