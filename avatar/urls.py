"""What a client loads once of an avatar: its manifest, and the pictures that never change under their version."""

from django.urls import path

from avatar import views

app_name = "avatar"
urlpatterns = [
    path("<slug:name>/manifest.json", views.manifest, name="manifest"),
    path("<slug:name>/<slug:version>/portrait", views.portrait, name="portrait"),
    path("<slug:name>/<slug:version>/mask", views.mask, name="mask"),
    path("<slug:name>/<slug:version>/patches/<int:state>.jpg", views.patch, name="patch"),
]
