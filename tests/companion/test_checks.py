"""Wrong settings are named before the first request."""

from companion.checks import settings_make_sense


def ids(settings) -> list[str]:
    return [message.id for message in settings_make_sense(None)]


def test_the_demo_as_it_comes_is_in_order(settings) -> None:
    assert ids(settings) == []


def test_production_needs_a_secret_tls_and_a_real_sign_in(settings) -> None:
    settings.MODE, settings.SECRET_KEY = "production", "short"
    assert ids(settings) == ["companion.E001", "companion.E004", "companion.W001"]


def test_unknown_backends_are_named(settings) -> None:
    settings.SPEECH_CHAIN, settings.IDENTITY_ENABLED = ["parrot"], ["pigeon"]
    assert ids(settings) == ["companion.E002", "companion.E003"]


def test_a_backend_that_cannot_be_imported_is_named(settings) -> None:
    settings.KEY_SERVICE = {"BACKEND": "nowhere.Service", "OPTIONS": {}}
    assert ids(settings) == ["companion.E005"]
