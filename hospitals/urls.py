"""Addresses of the hospitals' API, below /api/hospitals/."""

from django.urls import URLPattern, URLResolver, path

from hospitals.api import events

urlpatterns: list[URLPattern | URLResolver] = [
    path("v1/events/", events.EventsView.as_view(), name="hospital-events"),
]
