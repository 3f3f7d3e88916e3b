CODECS: tuple[()] = ()
