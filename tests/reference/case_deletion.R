# Writes the reference figures of tests/test_case_deletion.py: Rscript tests/reference/case_deletion.R
# Run in the repository root; base R alone. stackloss comes with R, Duncan's 45 occupations (Duncan 1961)
# are read from the data columns of the file that is written here.

figures <- function(fit, data, file) {
  measures <- influence.measures(fit)
  out <- data.frame(
    hat = hatvalues(fit), rstandard = rstandard(fit), rstudent = rstudent(fit),
    cook = cooks.distance(fit), dffits = dffits(fit), covratio = covratio(fit)
  )
  for (j in seq_along(coef(fit))) {
    out[[paste0("dfbetas_", j - 1)]] <- dfbetas(fit)[, j]
    out[[paste0("dfbeta_", j - 1)]] <- dfbeta(fit)[, j]
  }
  flagged <- measures$is.inf + 0
  for (j in seq_len(ncol(flagged))) out[[paste0("flag_", j - 1)]] <- flagged[, j]
  out$sigma <- lm.influence(fit)$sigma
  all <- data.frame(data)
  kept <- match(rownames(out), rownames(all))
  for (name in names(out)) {
    all[[name]] <- NA
    all[[name]][kept] <- out[[name]]
  }
  text <- data.frame(lapply(all, function(x) if (is.numeric(x)) signif(x, 12) else x))
  write.csv(text, file.path("tests/reference", file), row.names = FALSE, quote = FALSE)
}

weigh <- function(n) 0.5 + (seq_len(n) %% 4) / 2

names(stackloss) <- c("x0", "x1", "x2", "y")
plain <- data.frame(stackloss[c("x0", "x1", "x2", "y")], w = 1)
figures(lm(y ~ x0 + x1 + x2, plain), plain, "stackloss.csv")
heavy <- transform(plain, w = weigh(nrow(plain)))
heavy$w[c(5, 12)] <- 0
figures(lm(y ~ x0 + x1 + x2, heavy, weights = w), heavy, "stackloss_weighted.csv")

duncan <- read.csv("tests/reference/duncan.csv")[c("x0", "x1", "y")]
duncan$w <- 1
figures(lm(y ~ x0 + x1, duncan), duncan, "duncan.csv")
heavy <- transform(duncan, w = weigh(nrow(duncan)))
figures(lm(y ~ x0 + x1, heavy, weights = w), heavy, "duncan_weighted.csv")

# A logistic regression of the same occupations: is prestige above 40?
heavy$y <- (heavy$y > 40) + 0
binary <- transform(heavy, w = 1)
fit <- glm(y ~ x0 + x1, binomial, binary, control = list(epsilon = 1e-14, maxit = 100))
binary$pearson <- residuals(fit, "pearson")
binary$deviance <- residuals(fit, "deviance")
binary$standard_pearson <- rstandard(fit, type = "pearson")
figures(fit, binary, "duncan_logistic.csv")
