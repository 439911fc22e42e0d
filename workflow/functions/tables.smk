# What the rules of tables use: cells, settings, input functions.
from relatent.report.catalogue import table_spec


from relatent.report.sources import (
    page_settings,
    source_files,
    sources_compared_in_table,
    sources_of_table,
)


def table_settings(wildcards):
    return settings_json(
        page_settings(STUDY, wildcards.table, sources_of_table(STUDY, wildcards.table))
    )


def table_metrics(wildcards):
    return source_files(STUDY, sources_of_table(STUDY, wildcards.table), "metrics")


def table_receipts(wildcards):
    return source_files(STUDY, sources_of_table(STUDY, wildcards.table), "receipt")


def table_per_image(wildcards):
    return source_files(
        STUDY, sources_compared_in_table(STUDY, wildcards.table), "per_image"
    )


def table_reference(wildcards):
    return table_spec(wildcards.table).references(
        sources_of_table(STUDY, wildcards.table)
    )
