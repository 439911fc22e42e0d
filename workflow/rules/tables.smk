# Tables: tidy CSV from metrics with receipts and from data/reference/, then Markdown, LaTeX and HTML.


include: "../functions/tables.smk"


localrules:
    table,
    phase_tables,


rule table:
    input:
        metrics=table_metrics,
        per_image=table_per_image,
        reference=table_reference,
        receipts=table_receipts,
    output:
        csv="results/{study}/tables/{table}.csv",
        md="results/{study}/tables/{table}.md",
        tex="results/{study}/tables/{table}.tex",
        html="results/{study}/tables/{table}.html",
        receipt="results/{study}/tables/{table}.receipt.json",
    log:
        "logs/{study}/tables/{table}.log",
    benchmark:
        "logs/{study}/tables/{table}.tsv"
    wildcard_constraints:
        table=one_of(STUDY.tables),
    conda:
        "../envs/relatent.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        settings=table_settings,
        code=code_digest("relatent.cli.table"),
    shell:
        "python -m relatent.cli.table --cell {wildcards.table} --settings {params.settings:q}"
        " --metrics {input.metrics} --per-image {input.per_image} --reference {input.reference}"
        " --receipts {input.receipts} --csv {output.csv} --md {output.md} --tex {output.tex} --html {output.html}"
        " --receipt {output.receipt} > {log} 2>&1"


rule phase_tables:
    input:
        [
            f"results/{STUDY.study}/tables/{table}.{kind}"
            for table in STUDY.tables
            for kind in ("csv", "md", "tex", "html", "receipt.json")
        ],
