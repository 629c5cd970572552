"""Addresses of the hospitals' API, below /api/hospitals/."""

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
