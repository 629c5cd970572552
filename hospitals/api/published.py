"""What the hospitals' OpenAPI document covers, with the addresses that it has in the service."""

from django.urls import include, path

urlpatterns = [path("api/hospitals/", include("hospitals.urls"))]
