# What the rules of figures use: cells, settings, input functions.
from relatent.report.sources import (
    figure_files,
    figure_receipts,
    page_settings,
    sources_of_figure,
)


def figure_settings(wildcards):
    return settings_json(
        page_settings(
            STUDY, wildcards.figure, sources_of_figure(STUDY, wildcards.figure)
        )
    )


def files_of_figure(wildcards):
    return figure_files(STUDY, wildcards.figure)


def receipts_of_figure(wildcards):
    return figure_receipts(STUDY, wildcards.figure)
