"""Addresses of the hospitals' API, below /api/hospitals/."""

from django.urls import URLPattern, URLResolver, path

from hospitals.api import applications, events, tokens

urlpatterns: list[URLPattern | URLResolver] = [
    path("v1/applications/", applications.ApplicationsView.as_view(), name="hospital-applications"),
    path("v1/applications/<uuid:hospital_id>/", applications.ApplicationView.as_view(), name="hospital-application"),
    path(
        "v1/applications/<uuid:hospital_id>/credentials/",
        applications.CredentialsView.as_view(),
        name="hospital-credentials",
    ),
    path("v1/token/", tokens.TokenView.as_view(), name="hospital-token"),
    path("v1/credentials/rotate/", applications.RotationView.as_view(), name="hospital-rotate"),
    path("v1/events/", events.EventsView.as_view(), name="hospital-events"),
]
