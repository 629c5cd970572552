"""The skills' ports onto the real world: visits and people here, directory, booking and maps in hospitals.

Each call leaves the loop; whatever the hospital's side refuses becomes a CompanionError whose detail can be said to the
resident. A module here answers the port of the same name in companion.ports.
"""
