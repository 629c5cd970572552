"""An avatar's manifest and pictures over HTTP; public, as they show nobody."""

import mimetypes
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.views.decorators.http import condition, require_safe

from avatar import idle
from avatar.exceptions import AvatarError, AvatarNotFound
from avatar.protocol import VERSION
from avatar.renderers import get_renderer
from avatar.renderers.base import Renderer
from avatar.timeline import BLENDSHAPES, FPS, MOODS

YEAR_S = 31_536_000
View = Callable[..., HttpResponseBase]


def describe(renderer: Renderer) -> dict[str, Any]:
    """The manifest: where the pictures are, where they lie on the portrait (px), and how the head lives."""
    rig = renderer.rig
    at_rest = np.zeros(len(BLENDSHAPES), np.float32)
    address = {"name": rig.name, "version": renderer.version}
    some_patch = reverse("avatar:patch", kwargs=address | {"state": 0})
    eyes: dict[str, list[dict[str, float]]] = {}
    for state in rig.eye_states:
        eyes.setdefault(state.mood, []).append({"id": state.id, "blink": round(state.blink, 3)})
    return {
        "protocol": VERSION,
        "name": rig.name,
        "version": renderer.version,
        "size_px": rig.size_px,
        "fps": FPS,
        "portrait": reverse("avatar:portrait", kwargs=address),
        "mask": reverse("avatar:mask", kwargs=address),
        "patch_url": some_patch.removesuffix("0.jpg") + "{id}.jpg",
        "mouth": {
            "box_px": renderer.mouth_box,
            "rest": {mood: renderer.state_of(at_rest, mood) for mood in MOODS},
        },
        "eyes": {
            "box_px": renderer.eyes_box,
            "states": {mood: sorted(eyes.get(mood) or eyes["neutral"], key=lambda s: s["blink"]) for mood in MOODS},
        },
        "head": {"pivot_px": rig.pivot_px},
        "idle": idle.parameters(),
        "origin": rig.origin,
    }


def answers_typed(view: View) -> View:
    @wraps(view)
    def answer(request: HttpRequest, name: str, **rest: Any) -> HttpResponseBase:
        try:
            return view(request, name, **rest)
        except AvatarError as error:
            kind = {
                "type": f"urn:health-companion:problem:{error.code}",
                "title": error.detail,
                "retryable": error.retryable,
            }
            problem = {**kind, "code": error.code, "status": error.status_code, "detail": error.detail}
            return JsonResponse(problem, status=error.status_code, content_type="application/problem+json")

    return answer


def _of_version(name: str, version: str) -> Renderer:
    renderer = get_renderer(name)
    if renderer.version != version:
        raise AvatarNotFound("This version of the avatar has been replaced; load its manifest again.")
    return renderer


def _for_ever(response: HttpResponseBase) -> HttpResponseBase:
    patch_cache_control(response, public=True, max_age=YEAR_S, immutable=True)
    return response


def _etag(request: HttpRequest, name: str) -> str | None:
    try:
        return f'"{get_renderer(name).version}"'
    except AvatarError:
        return None


@require_safe
@condition(etag_func=_etag)
@answers_typed
def manifest(request: HttpRequest, name: str) -> HttpResponseBase:
    response = JsonResponse(describe(get_renderer(name)), json_dumps_params={"ensure_ascii": False})
    patch_cache_control(response, no_cache=True)
    return response


@require_safe
@answers_typed
def portrait(request: HttpRequest, name: str, version: str) -> HttpResponseBase:
    rig = _of_version(name, version).rig
    return _file(rig.folder / rig.portrait)


@require_safe
@answers_typed
def mask(request: HttpRequest, name: str, version: str) -> HttpResponseBase:
    rig = _of_version(name, version).rig
    return _file(rig.folder / rig.mask)


@require_safe
@answers_typed
def patch(request: HttpRequest, name: str, version: str, state: int) -> HttpResponseBase:
    """A mouth's or an eye's JPEG; ids are unique over both."""
    renderer = _of_version(name, version)
    eyes = {eye.id for eye in renderer.rig.eye_states}
    try:
        jpeg = renderer.eye_patch(state) if state in eyes else renderer.patch(state)
    except KeyError as error:
        raise AvatarNotFound("The avatar has no state of that id.") from error
    return _for_ever(HttpResponse(jpeg, content_type="image/jpeg"))


def _file(path: Any) -> HttpResponseBase:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return _for_ever(FileResponse(path.open("rb"), content_type=kind))
