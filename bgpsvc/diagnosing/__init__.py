"""Why a tunnel does not work: what is seen at each layer (`collect`, `probes`), judged by pure
examinations."""
