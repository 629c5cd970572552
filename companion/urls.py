"""Root addresses: the page, sign-in, health, the hospitals' API, avatars, the commission's admin."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from companion import api

admin.autodiscover()

urlpatterns = [
    path("", api.page, name="page"),
    path("manifest.webmanifest", api.web_manifest, name="web-manifest"),
    path("api/session/", api.SessionView.as_view(), name="session"),
    path("api/session/ticket/", api.TicketView.as_view(), name="session-ticket"),
    path("api/session/looks/", api.LooksView.as_view(), name="session-looks"),
    path("api/payment/<slug:engine>/", api.PaymentToldView.as_view(), name="payment-told"),
    path("api/avatar/", include("avatar.urls")),
    path("api/hospitals/", include("hospitals.urls")),
    path("api/schema/", SpectacularAPIView.as_view(permission_classes=[]), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema", permission_classes=[]), name="api-docs"),
    path("health/", api.health, name="health"),
    path("admin/", admin.site.urls),
]
if settings.MODE == "demo":
    urlpatterns += [path("api/demo/", include("companion.demo_urls"))]
