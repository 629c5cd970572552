"""The avatar's addresses alone, as the whole service mounts them."""

from django.urls import include, path

urlpatterns = [path("api/avatar/", include("avatar.urls"))]
