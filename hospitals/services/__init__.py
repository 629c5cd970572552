"""The only code that writes hospital rows: directory, booking, inbox, outbox, maps, onboarding."""
