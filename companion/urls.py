"""Root addresses: the page, sign-in, health, the hospitals' API, avatars, the commission's admin."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.i18n import JavaScriptCatalog
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from companion import api, api_people

admin.autodiscover()

urlpatterns = [
    path("", api.page, name="page"),
    path("manifest.webmanifest", api.web_manifest, name="web-manifest"),
    path("api/session/", api.SessionView.as_view(), name="session"),
    path("api/session/begin/", api.BeginView.as_view(), name="session-begin"),
    path("api/session/ticket/", api.TicketView.as_view(), name="session-ticket"),
    path("api/session/looks/", api.LooksView.as_view(), name="session-looks"),
    path("api/session/sign-ins/", api.SignInsView.as_view(), name="sign-ins"),
    path("api/session/sign-ins/<uuid:session>/", api.SignInView.as_view(), name="sign-in"),
    path("api/session/people/", api_people.PeopleView.as_view(), name="people"),
    path("api/session/people/<uuid:patient>/", api_people.PersonView.as_view(), name="person"),
    path("api/session/people/invitations/", api_people.InvitationsView.as_view(), name="invitations"),
    path("api/session/people/invitations/<str:code>/", api_people.InvitationView.as_view(), name="invitation"),
    path("api/session/people/invitations/<str:code>/accept/", api_people.AcceptView.as_view(), name="accept"),
    path("api/session/people/invitations/<str:code>/decline/", api_people.DeclineView.as_view(), name="decline"),
    path("api/session/people/consents/<int:consent>/", api_people.ConsentView.as_view(), name="consent"),
    path("api/session/people/consents/<int:consent>/renew/", api_people.RenewView.as_view(), name="consent-renew"),
    path("api/payment/<slug:engine>/", api.PaymentToldView.as_view(), name="payment-told"),
    path("api/avatar/", include("avatar.urls")),
    path("api/hospitals/", include("hospitals.urls")),
    path("api/schema/", SpectacularAPIView.as_view(permission_classes=[]), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema", permission_classes=[]), name="api-docs"),
    path("health/", api.health, name="health"),
    # in place of the admin's own, which knows Django's words alone
    path(
        "admin/jsi18n/", JavaScriptCatalog.as_view(packages=["django.contrib.admin", "companion"]), name="admin-words"
    ),
    path("admin/", admin.site.urls),
]
if settings.MODE == "demo":
    urlpatterns += [path("api/demo/", include("companion.demo_urls"))]
