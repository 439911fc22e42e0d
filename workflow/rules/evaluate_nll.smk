# L_k of every trained density cell, and the models whose likelihood is known exactly.


include: "../functions/evaluate_nll.smk"


rule evaluate_nll:
    input:
        model="results/{study}/train_density/{dataset}/{cell}/model.safetensors",
        test_images="data/prepared/{dataset}/test_images.npy",
        train_images="data/prepared/{dataset}/train_images.npy",
        receipts=[
            "results/{study}/train_density/{dataset}/{cell}/receipt.json",
            "data/prepared/{dataset}/receipt.json",
        ],
    output:
        metrics="results/{study}/evaluate_nll/{dataset}/{cell}/metrics.json",
        per_image="results/{study}/evaluate_nll/{dataset}/{cell}/per_image.npz",
        activity="results/{study}/evaluate_nll/{dataset}/{cell}/activity.csv",
        receipt="results/{study}/evaluate_nll/{dataset}/{cell}/receipt.json",
    log:
        "logs/{study}/evaluate_nll/{dataset}/{cell}.log",
    benchmark:
        "logs/{study}/evaluate_nll/{dataset}/{cell}.tsv"
    wildcard_constraints:
        dataset=one_of(sorted({dataset for dataset, _ in EVALUATED})),
        cell=one_of(sorted({cell for _, cell in EVALUATED})),
    conda:
        "../envs/relatent.yaml"
    threads: STUDY.evaluate_nll.threads  # leaves no trace in the numbers
    resources:
        mem_mb=2000,
    params:
        settings=evaluate_settings,
        code=code_digest("relatent.cli.evaluate_nll"),
    shell:
        "python -m relatent.cli.evaluate_nll --cell {wildcards.dataset}/{wildcards.cell} --settings {params.settings:q}"
        " --model {input.model} --test-images {input.test_images} --train-images {input.train_images}"
        " --receipts {input.receipts} --metrics {output.metrics} --per-image {output.per_image}"
        " --activity {output.activity} --receipt {output.receipt} > {log} 2>&1"


rule anneal_density:
    input:
        model="results/{study}/train_density/{dataset}/{cell}/model.safetensors",
        test_images="data/prepared/{dataset}/test_images.npy",
        evaluation="results/{study}/evaluate_nll/{dataset}/{cell}/per_image.npz",
        receipts=[
            "results/{study}/train_density/{dataset}/{cell}/receipt.json",
            "results/{study}/evaluate_nll/{dataset}/{cell}/receipt.json",
            "data/prepared/{dataset}/receipt.json",
        ],
    output:
        metrics="results/{study}/evaluate_nll/{dataset}/{cell}/annealing/metrics.json",
        per_image="results/{study}/evaluate_nll/{dataset}/{cell}/annealing/per_image.npz",
        receipt="results/{study}/evaluate_nll/{dataset}/{cell}/annealing/receipt.json",
    log:
        "logs/{study}/evaluate_nll/{dataset}/{cell}-annealing.log",
    benchmark:
        "logs/{study}/evaluate_nll/{dataset}/{cell}-annealing.tsv"
    wildcard_constraints:
        dataset=one_of(sorted({dataset for dataset, _ in MEASURED["annealing"]})),
        cell=one_of(sorted({cell for _, cell in MEASURED["annealing"]})),
    conda:
        "../envs/relatent.yaml"
    threads: STUDY.evaluate_nll.annealing.threads
    resources:
        mem_mb=2000,
    params:
        settings=annealing_settings,
        code=code_digest("relatent.cli.anneal_density"),
    shell:
        "python -m relatent.cli.anneal_density --cell {wildcards.dataset}/{wildcards.cell}"
        " --settings {params.settings:q} --model {input.model} --test-images {input.test_images}"
        " --evaluation {input.evaluation} --receipts {input.receipts} --metrics {output.metrics}"
        " --per-image {output.per_image} --receipt {output.receipt} > {log} 2>&1"


rule train_minus_test:
    input:
        model="results/{study}/train_density/{dataset}/{cell}/model.safetensors",
        train_images="data/prepared/{dataset}/train_images.npy",
        evaluation="results/{study}/evaluate_nll/{dataset}/{cell}/per_image.npz",
        receipts=[
            "results/{study}/train_density/{dataset}/{cell}/receipt.json",
            "results/{study}/evaluate_nll/{dataset}/{cell}/receipt.json",
            "data/prepared/{dataset}/receipt.json",
        ],
    output:
        metrics="results/{study}/evaluate_nll/{dataset}/{cell}/train_minus_test/metrics.json",
        receipt="results/{study}/evaluate_nll/{dataset}/{cell}/train_minus_test/receipt.json",
    log:
        "logs/{study}/evaluate_nll/{dataset}/{cell}-train_minus_test.log",
    benchmark:
        "logs/{study}/evaluate_nll/{dataset}/{cell}-train_minus_test.tsv"
    wildcard_constraints:
        dataset=one_of(sorted({dataset for dataset, _ in MEASURED["train_minus_test"]})),
        cell=one_of(sorted({cell for _, cell in MEASURED["train_minus_test"]})),
    conda:
        "../envs/relatent.yaml"
    threads: STUDY.evaluate_nll.train_minus_test.threads
    resources:
        mem_mb=2000,
    params:
        settings=train_minus_test_settings,
        code=code_digest("relatent.cli.train_minus_test"),
    shell:
        "python -m relatent.cli.train_minus_test --cell {wildcards.dataset}/{wildcards.cell}"
        " --settings {params.settings:q} --model {input.model} --train-images {input.train_images}"
        " --evaluation {input.evaluation} --receipts {input.receipts} --metrics {output.metrics}"
        " --receipt {output.receipt} > {log} 2>&1"


rule repeat_nll:
    input:
        model="results/{study}/train_density/{dataset}/{cell}/model.safetensors",
        test_images="data/prepared/{dataset}/test_images.npy",
        evaluation="results/{study}/evaluate_nll/{dataset}/{cell}/per_image.npz",
        receipts=[
            "results/{study}/train_density/{dataset}/{cell}/receipt.json",
            "results/{study}/evaluate_nll/{dataset}/{cell}/receipt.json",
            "data/prepared/{dataset}/receipt.json",
        ],
    output:
        metrics="results/{study}/evaluate_nll/{dataset}/{cell}/repeated/metrics.json",
        per_image="results/{study}/evaluate_nll/{dataset}/{cell}/repeated/per_image.npz",
        receipt="results/{study}/evaluate_nll/{dataset}/{cell}/repeated/receipt.json",
    log:
        "logs/{study}/evaluate_nll/{dataset}/{cell}-repeated.log",
    benchmark:
        "logs/{study}/evaluate_nll/{dataset}/{cell}-repeated.tsv"
    wildcard_constraints:
        dataset=one_of(sorted({dataset for dataset, _ in MEASURED["repeated"]})),
        cell=one_of(sorted({cell for _, cell in MEASURED["repeated"]})),
    conda:
        "../envs/relatent.yaml"
    threads: STUDY.evaluate_nll.repeated.threads  # leaves no trace in the numbers
    resources:
        mem_mb=2000,
    params:
        settings=repeated_settings,
        code=code_digest("relatent.cli.repeat_nll"),
    shell:
        "python -m relatent.cli.repeat_nll --cell {wildcards.dataset}/{wildcards.cell}"
        " --settings {params.settings:q} --model {input.model} --test-images {input.test_images}"
        " --evaluation {input.evaluation} --receipts {input.receipts} --metrics {output.metrics}"
        " --per-image {output.per_image} --receipt {output.receipt} > {log} 2>&1"


rule remove_units:
    input:
        model="results/{study}/train_density/{dataset}/{cell}/model.safetensors",
        test_images="data/prepared/{dataset}/test_images.npy",
        evaluation="results/{study}/evaluate_nll/{dataset}/{cell}/per_image.npz",
        activity="results/{study}/evaluate_nll/{dataset}/{cell}/activity.csv",
        receipts=[
            "results/{study}/train_density/{dataset}/{cell}/receipt.json",
            "results/{study}/evaluate_nll/{dataset}/{cell}/receipt.json",
            "data/prepared/{dataset}/receipt.json",
        ],
    output:
        metrics="results/{study}/evaluate_nll/{dataset}/{cell}/removed/metrics.json",
        receipt="results/{study}/evaluate_nll/{dataset}/{cell}/removed/receipt.json",
    log:
        "logs/{study}/evaluate_nll/{dataset}/{cell}-removed.log",
    benchmark:
        "logs/{study}/evaluate_nll/{dataset}/{cell}-removed.tsv"
    wildcard_constraints:
        dataset=one_of(sorted({dataset for dataset, _ in MEASURED["removed"]})),
        cell=one_of(sorted({cell for _, cell in MEASURED["removed"]})),
    conda:
        "../envs/relatent.yaml"
    threads: STUDY.evaluate_nll.removed.threads  # leaves no trace in the numbers
    resources:
        mem_mb=2000,
    params:
        settings=removed_settings,
        code=code_digest("relatent.cli.remove_units"),
    shell:
        "python -m relatent.cli.remove_units --cell {wildcards.dataset}/{wildcards.cell}"
        " --settings {params.settings:q} --model {input.model} --test-images {input.test_images}"
        " --evaluation {input.evaluation} --activity {input.activity} --receipts {input.receipts}"
        " --metrics {output.metrics} --receipt {output.receipt} > {log} 2>&1"


rule exact_likelihood:
    input:
        train_images=exact_train_images,
        test_images=exact_test_images,
        receipts=exact_receipt,
    output:
        metrics="results/{study}/evaluate_nll/exact/{model}/metrics.json",
        receipt="results/{study}/evaluate_nll/exact/{model}/receipt.json",
    log:
        "logs/{study}/evaluate_nll/exact/{model}.log",
    benchmark:
        "logs/{study}/evaluate_nll/exact/{model}.tsv"
    wildcard_constraints:
        model=one_of(STUDY.exact.cells()),
    conda:
        "../envs/relatent.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        settings=exact_settings,
        code=code_digest("relatent.cli.exact_likelihood"),
    shell:
        "python -m relatent.cli.exact_likelihood --cell exact/{wildcards.model} --settings {params.settings:q}"
        " --train-images {input.train_images} --test-images {input.test_images} --receipts {input.receipts}"
        " --metrics {output.metrics} --receipt {output.receipt} > {log} 2>&1"


rule phase_evaluate_nll:
    input:
        [
            f"results/{STUDY.study}/evaluate_nll/{dataset}/{cell}/{name}"
            for dataset, cell in EVALUATED
            for name in (
                "metrics.json",
                "per_image.npz",
                "activity.csv",
                "receipt.json",
            )
        ],
        [
            f"results/{STUDY.study}/evaluate_nll/{dataset}/{cell}/{measure}/{name}"
            for measure in ("annealing", "repeated")
            for dataset, cell in MEASURED[measure]
            for name in ("metrics.json", "per_image.npz", "receipt.json")
        ],
        [
            f"results/{STUDY.study}/evaluate_nll/{dataset}/{cell}/{measure}/{name}"
            for measure in ("train_minus_test", "removed")
            for dataset, cell in MEASURED[measure]
            for name in ("metrics.json", "receipt.json")
        ],
        [
            f"results/{STUDY.study}/evaluate_nll/exact/{model}/{name}"
            for model in STUDY.exact.cells()
            for name in ("metrics.json", "receipt.json")
        ],
