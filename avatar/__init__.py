"""The digital human: text in, speech and lip-synced frames out. Knows no patients and no hospitals."""
