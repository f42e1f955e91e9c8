s/^imap_unordered: [1-4 ]* 0$/imap_unordered: 0 is the last/
