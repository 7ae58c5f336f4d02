"""Who may use which memory of which device: demands and leases in, decisions out."""
