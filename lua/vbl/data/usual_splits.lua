-- What data sets call the splits to validate on and to test on, the likeliest first.
return {val = {"val", "dev", "dev_seen"}, test = {"test", "test_seen", "test_unseen"}}
