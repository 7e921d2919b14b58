sfl_add_unit_test(runs_test sfl_runs)
