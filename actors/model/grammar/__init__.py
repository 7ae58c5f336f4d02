"""What a text must look like as a grammar: schemas, patterns and calls of tools, for engines that take one."""
