# One HTML page over all that is there. A view: no receipt, no DVC stage, made last.
# Relative, so that `snakemake` and `snakemake --configfile …` mean the same file.
REPORT_CONFIG = (
    os.path.relpath(workflow.configfiles[-1])
    if workflow.configfiles
    else f"config/{STUDY.study}.yaml"
)


localrules:
    report,


rule report:
    input:
        [phase_files(phase) for phase in PHASES],
        config=REPORT_CONFIG,
    output:
        page=f"results/{STUDY.study}/report.html",
    log:
        f"logs/{STUDY.study}/report.log",
    conda:
        "../envs/relatent.yaml"
    threads: 1
    resources:
        mem_mb=500,
    params:
        code=code_digest("relatent.cli.report"),
    shell:
        "python -m relatent.cli.report {input.config:q} --output {output.page} > {log} 2>&1"
