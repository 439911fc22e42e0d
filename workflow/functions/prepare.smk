# What the rules of prepare use: cells, settings, input functions.
PREPARED = STUDY.data.cells()


def prepared_arrays(dataset):
    """The images and labels of every split of a dataset."""
    return [path for path in REGISTRY.prepared_files(dataset) if path.suffix == ".npy"]


def decoding_workers(dataset):
    """Processes for a collection of encoded images; they change no bit. The other formats are read by one."""
    return 4 if REGISTRY[dataset].prepare.is_collection else 1
