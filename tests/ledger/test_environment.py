"""What tells one machine's arithmetic from another's."""

from relatent.ledger.environment import _processor, environment_record

X86 = """processor	: 0
vendor_id	: AuthenticAMD
cpu family	: 25
model		: {model}
model name	: AMD EPYC
flags		: fpu sse2 {flags}

processor	: 1
cpu family	: 99
"""


def test_one_name_with_other_instructions_is_another_processor():
    """Clouds call a Zen 3 and a Zen 4 both "AMD EPYC"; only one has AVX-512, and their sums differ in the last bits."""
    older = _processor(X86.format(model=1, flags="avx avx2 fma"))
    newer = _processor(X86.format(model=17, flags="avx avx2 fma avx512f"))
    assert older["cpu"] == newer["cpu"] == "AMD EPYC"
    assert older == {"cpu": "AMD EPYC", "cpu_family": "25 1", "cpu_vectors": ["avx", "avx2", "fma"]}
    assert newer["cpu_vectors"] == ["avx", "avx2", "avx512f", "fma"]


def test_an_arm_processor_is_told_by_its_maker_and_part():
    """Arm's text has no model name and calls its flags features."""
    found = _processor(
        "processor	: 0\nFeatures	: fp asimd sve bf16\nCPU implementer	: 0x41\nCPU part	: 0xd40\n"
    )
    assert found["cpu"]
    assert found["cpu_family"] == "0x41 0xd40"
    assert found["cpu_vectors"] == ["asimd", "bf16", "sve"]


def test_a_machine_without_proc_still_has_a_name():
    """macOS has no /proc/cpuinfo; the record then says what Python knows."""
    assert _processor("")["cpu"]
    assert environment_record()["python"]
