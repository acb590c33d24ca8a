"""``python -m primer``: commands that do not train. They start without importing torch, except export,
recommend and similar."""

import sys

from primer.errors import InputError

HELP = """\
python -m primer list                    which models accept which data
python -m primer compare RUN RUN|SWEEP   which settings differ, and which run is better;
                                         csv=FILE and html=FILE write a table and a page
python -m primer report RUN              write report.html and pictures/curves.png again
python -m primer report SWEEP            list the jobs of a sweep; write summary.csv and summary.html again
python -m primer export RUN format=onnx  write the model as onnx, torch or safetensors, with a
                                         description and a model card; output=DIR
python -m primer neighbors RUN WORD…     the words with the most similar vectors
python -m primer analogy RUN A B C       the answer to "A is to B as C is to ?"
python -m primer recommend RUN USER      items that a user would rate highest, or RUN ITEM… for the next ones
python -m primer similar RUN ITEM        the items with the most similar vectors; top=10
python train.py --help                   how to train"""


def main(arguments: list[str]) -> int:
    """Runs the given command and returns the exit status."""
    command, *rest = arguments or ["list"]
    try:
        if command in ("--help", "-h"):
            print(HELP)
        elif command == "list" and not rest:
            from primer.cli.listing import compatibility_list

            print(compatibility_list())
        elif command == "compare":
            from primer.cli.comparing import compare_command

            print(compare_command(rest))
        elif command == "report" and len(rest) == 1:
            from primer.cli.reporting import report

            print(report(rest[0]))
        elif command == "export":
            from primer.cli.exporting import export_command

            print(export_command(rest))
        elif command == "neighbors":
            from primer.cli.word_vectors import neighbors_command

            print(neighbors_command(rest))
        elif command == "analogy":
            from primer.cli.word_vectors import analogy_command

            print(analogy_command(rest))
        elif command == "recommend":
            from primer.cli.recommending import recommend_command

            print(recommend_command(rest))
        elif command == "similar":
            from primer.cli.recommending import similar_command

            print(similar_command(rest))
        else:
            valid = (
                "list, compare RUN RUN, report RUN|SWEEP, export RUN format=onnx, neighbors RUN WORD, "
                "analogy RUN A B C, recommend RUN USER, similar RUN ITEM"
            )
            raise InputError(f"primer {' '.join(arguments)}: unknown command; valid: {valid}")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
