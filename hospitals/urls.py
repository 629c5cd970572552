"""Addresses of the hospitals' API, below /api/hospitals/."""

from django.urls import URLPattern, URLResolver, include, path

from hospitals.api import applications, directory, events, facts, imports, schema, tokens, trials, webhooks

urlpatterns: list[URLPattern | URLResolver] = [
    path("developers/", schema.DevelopersView.as_view(), name="hospital-developers"),
    path("v1/openapi.json", schema.SchemaView.as_view(), name="hospital-openapi"),
    path("v1/applications/", applications.ApplicationsView.as_view(), name="hospital-applications"),
    path("v1/applications/<uuid:hospital_id>/", applications.ApplicationView.as_view(), name="hospital-application"),
    path(
        "v1/applications/<uuid:hospital_id>/credentials/",
        applications.CredentialsView.as_view(),
        name="hospital-credentials",
    ),
    path("v1/token/", tokens.TokenView.as_view(), name="hospital-token"),
    path("v1/credentials/rotate/", applications.RotationView.as_view(), name="hospital-rotate"),
    path("v1/directory/", include(directory.addresses())),
    path("v1/directory/practitioners/<str:identifier>/fee/", facts.FeeView.as_view(), name="hospital-practitioner-fee"),
    path("v1/directory/lexicon/", facts.LexiconView.as_view(), name="hospital-lexicon"),
    path("v1/directory/map/", facts.MapView.as_view(), name="hospital-map"),
    path("v1/directory/map/doors/", facts.DoorCodesView.as_view(), name="hospital-door-codes"),
    path("v1/hospital/", facts.ProfileView.as_view(), name="hospital-profile"),
    path("v1/imports/<uuid:run_id>/", imports.ImportView.as_view(), name="hospital-import"),
    path("v1/test-appointments/", trials.TestAppointmentsView.as_view(), name="hospital-test-appointments"),
    path(
        "v1/test-appointments/<uuid:appointment_id>/",
        trials.TestAppointmentView.as_view(),
        name="hospital-test-appointment",
    ),
    path("v1/conformance-runs/", trials.ConformanceRunsView.as_view(), name="hospital-conformance-runs"),
    path("v1/conformance-runs/<uuid:run_id>/", trials.ConformanceRunView.as_view(), name="hospital-conformance-run"),
    path(
        "v1/conformance-runs/<uuid:run_id>/look/",
        trials.ConformanceLookView.as_view(),
        name="hospital-conformance-look",
    ),
    path(
        "v1/conformance-runs/<uuid:run_id>/abort/",
        trials.ConformanceAbortView.as_view(),
        name="hospital-conformance-abort",
    ),
    path("v1/webhooks/<str:environment>/", webhooks.WebhookView.as_view(), name="hospital-webhook"),
    path(
        "v1/webhooks/<str:environment>/rotate/", webhooks.WebhookRotationView.as_view(), name="hospital-webhook-rotate"
    ),
    path("v1/webhooks/<str:environment>/ping/", webhooks.WebhookPingView.as_view(), name="hospital-webhook-ping"),
    path("v1/deliveries/", webhooks.DeliveriesView.as_view(), name="hospital-deliveries"),
    path("v1/deliveries/<uuid:delivery_id>/", webhooks.DeliveryView.as_view(), name="hospital-delivery"),
    path(
        "v1/deliveries/<uuid:delivery_id>/replay/",
        webhooks.DeliveryReplayView.as_view(),
        name="hospital-delivery-replay",
    ),
    path("v1/events/", events.EventsView.as_view(), name="hospital-events"),
    path("v1/events/batch/", events.EventBatchView.as_view(), name="hospital-event-batch"),
]
