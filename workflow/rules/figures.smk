# Figures: PNG, PDF and the CSV behind them, from the files of the phases.


include: "../functions/figures.smk"


localrules:
    figure,
    phase_figures,


rule figure:
    input:
        files=files_of_figure,
        receipts=receipts_of_figure,
    output:
        png="results/{study}/figures/{figure}.png",
        pdf="results/{study}/figures/{figure}.pdf",
        csv="results/{study}/figures/{figure}.csv",
        receipt="results/{study}/figures/{figure}.receipt.json",
    log:
        "logs/{study}/figures/{figure}.log",
    benchmark:
        "logs/{study}/figures/{figure}.tsv"
    wildcard_constraints:
        figure=one_of(STUDY.figures),
    conda:
        "../envs/relatent.yaml"
    threads: 1
    resources:
        mem_mb=1500,
    params:
        settings=figure_settings,
        code=code_digest("relatent.cli.figure"),
    shell:
        "python -m relatent.cli.figure --cell {wildcards.figure} --settings {params.settings:q}"
        " --files {input.files} --receipts {input.receipts}"
        " --png {output.png} --pdf {output.pdf} --csv {output.csv} --receipt {output.receipt} > {log} 2>&1"


rule phase_figures:
    input:
        [
            f"results/{STUDY.study}/figures/{figure}.{kind}"
            for figure in STUDY.figures
            for kind in ("png", "pdf", "csv", "receipt.json")
        ],
