rule tables:
    input:
        metrics=expand("results/{study}/evaluate_nll/digits/{cell}/metrics.json", study=STUDY, cell=CELLS),
        receipts=expand("results/{study}/evaluate_nll/digits/{cell}/receipt.json", study=STUDY, cell=CELLS),
    output:
        csv="results/{study}/tables/toy.csv",
        md="results/{study}/tables/toy.md",
        receipt="results/{study}/tables/toy.receipt.json",
    log:
        "logs/{study}/tables/toy.log",
    params:
        code=code_digest("relatent.cli.toy_table"),
    shell:
        "python -m relatent.cli.toy_table --cell toy --metrics {input.metrics} --csv {output.csv} --md {output.md}"
        " --receipts {input.receipts} --receipt {output.receipt} > {log} 2>&1"


rule phase_tables:
    input:
        expand("results/{study}/tables/toy.{suffix}", study=STUDY, suffix=["csv", "md", "receipt.json"]),


rule report:
    input:
        expand("results/{study}/tables/toy.csv", study=STUDY),
    output:
        expand("results/{study}/report.html", study=STUDY),
    log:
        f"logs/{STUDY}/report.log",
    shell:
        "cp {input} {output} 2> {log}"
