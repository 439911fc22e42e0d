"""L_k, active units, AIS and sample metrics of trained models."""
